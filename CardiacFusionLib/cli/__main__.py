"""``python -m CardiacFusionLib.cli …``: the command line where no ``cardiacfusion`` program is installed."""

from CardiacFusionLib.cli.app import main

if __name__ == "__main__":
    main()
