"""True flow of a twin's wall and the kinetics of the contrast agent."""
