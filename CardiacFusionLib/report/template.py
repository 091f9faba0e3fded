# ruff: noqa: E501  (lines of HTML, broken where the page breaks)
"""The page of the report (jinja2): plain HTML and CSS, no script, no outside file."""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>CardiacFusion – {{ title }}</title>
<style>
:root { --ink:#1d2530; --grey:#5b6470; --line:#e3e7ec; --soft:#f5f7f9; --accent:#0b5cad; --alarm:#b3202f; --warn:#9a6700; --good:#1a7f4b; }
* { box-sizing: border-box; }
body { margin:0; color:var(--ink); background:#fff; font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif; }
main { max-width:1080px; margin:0 auto; padding:24px 28px 48px; }
header { display:flex; align-items:baseline; gap:14px; flex-wrap:wrap; border-bottom:2px solid var(--ink); padding-bottom:10px; }
h1 { font-size:24px; margin:0; letter-spacing:-.01em; }
h2 { font-size:17px; margin:34px 0 10px; letter-spacing:-.005em; }
.badge { font-size:12px; font-weight:600; border-radius:999px; padding:2px 10px; border:1px solid currentColor; white-space:nowrap; }
.badge.synthetic { color:#c2410c; background:#fff4ec; } .badge.notice { color:var(--grey); margin-left:auto; }
.badge.good { color:var(--good); } .badge.doubtful { color:var(--warn); } .badge.unusable { color:var(--alarm); }
.finding { border-left:5px solid var(--accent); background:var(--soft); padding:12px 16px; margin:14px 0; border-radius:0 6px 6px 0; }
.finding.matched, .finding.ischaemia_without_stenosis { border-color:var(--alarm); }
.finding p { margin:2px 0 0; font-size:17px; } .finding .kind { font-size:13px; color:var(--grey); font-weight:600; }
.numbers { display:flex; flex-wrap:wrap; gap:4px 22px; margin-top:8px; font-size:13px; color:var(--grey); } .numbers b { color:var(--ink); font-weight:600; }
.grid { display:grid; grid-template-columns:repeat(2,1fr); gap:16px; } figure { margin:0; } figure img { width:100%; border-radius:6px; display:block; }
figcaption { font-size:13px; color:var(--grey); margin-top:5px; } img.wide { width:100%; max-width:960px; }
table { border-collapse:collapse; width:100%; font-size:14px; font-variant-numeric:tabular-nums; }
th { text-align:left; font-weight:600; color:var(--grey); font-size:12.5px; border-bottom:1.5px solid var(--line); padding:5px 10px 5px 0; }
td { border-bottom:1px solid var(--line); padding:4px 10px 4px 0; } td.chip span { display:inline-block; min-width:3.4em; text-align:center; border-radius:4px; padding:0 6px; }
tr.marked td:first-child { box-shadow:inset 3px 0 var(--alarm); padding-left:9px; } td.differs { color:var(--warn); font-weight:600; }
.cols { display:grid; grid-template-columns:1fr 1fr; gap:0 36px; } .note { color:var(--grey); font-size:13.5px; } .small td, .small th { font-size:12.5px; }
footer { margin-top:38px; border-top:1px solid var(--line); padding-top:10px; color:var(--grey); font-size:12.5px; }
@media (max-width:760px) { .grid, .cols { grid-template-columns:1fr; } }
@media print { main { padding:0; max-width:none; } h2 { break-after:avoid; } figure, .finding, tr { break-inside:avoid; } * { print-color-adjust:exact; -webkit-print-color-adjust:exact; } @page { size:A4; margin:14mm; } body { font-size:12px; } }
</style>
</head>
<body><main>
<header><h1>{{ title }}</h1>
{% if synthetic %}<span class="badge synthetic">SYNTHETIC data</span>{% endif %}
<span class="badge {{ level }}">Quality: {{ level }}</span>
<span class="badge notice">Not for clinical use</span></header>

<section aria-label="Findings">
{% if headline %}<div class="finding"><p>{{ headline }}</p></div>{% endif %}
{% for f in findings %}
<div class="finding {{ f.kind }}"><div class="kind">{{ f.title }}{% if f.vessel %} · {{ f.vessel }}{% endif %} · confidence {{ f.confidence }} %</div>
<p>{{ f.sentence }}</p>
{% if f.numbers or f.segments %}<div class="numbers">{% for name, amount in f.numbers %}<span>{{ name }} <b>{{ amount }}</b></span>{% endfor %}{% if f.segments %}<span>segments <b>{{ f.segments }}</b></span>{% endif %}</div>{% endif %}
</div>
{% endfor %}
{% if flags %}<p class="note"><b>To keep in mind:</b> {% for q in flags[:2] %}{{ q.reason }} {% endfor %}{% if flags|length > 2 %}{{ flags|length - 2 }} more below, under ‘How far to trust this’.{% endif %}</p>{% endif %}
</section>

<img class="wide" src="{{ bullseye }}" alt="Bullseye of stress myocardial blood flow with the coronary branches">

<h2>Pictures</h2>
{% if scene_reason %}<p class="note">{{ scene_reason }}</p>{% endif %}
<div class="grid">
{% for v in views %}<figure><img src="{{ v.data }}" alt="{{ v.caption }}"><figcaption>{{ v.caption }}</figcaption></figure>
{% endfor %}
</div>

<h2>Narrowings</h2>
{% if stenoses %}<table><thead><tr><th>Branch</th><th>Diameter reduction</th><th>Distance from its origin</th><th>Length</th><th>Minimal / reference diameter</th><th>Calcified</th></tr></thead><tbody>
{% for s in stenoses %}<tr><td><b>{{ s.branch }}</b></td><td><b>{{ "%.0f"|format(s.diameter_percent) }} %</b></td><td>{{ "%.0f"|format(s.position_mm) }} mm</td><td>{{ "%.0f"|format(s.length_mm) }} mm</td><td>{{ "%.1f"|format(s.minimal_diameter_mm) }} / {{ "%.1f"|format(s.reference_diameter_mm) }} mm</td><td>{{ "yes" if s.calcified else "no" }}</td></tr>
{% endfor %}</tbody></table>
{% elif other_stenoses %}<p>No narrowing of 50 % or more was found in the named branches.</p>
{% else %}<p>No narrowing was found in the branches that were followed.</p>{% endif %}
<p class="note">{% if other_stenoses %}Milder, or in branches without a name: {{ other_stenoses|join(", ") }}. {% endif %}Dominance: {{ dominance }}.</p>
{% if diameters %}<img class="wide" src="{{ diameters }}" alt="Lumen diameter along the branches">{% endif %}

<h2>Segments</h2>
<table><thead><tr><th>Segment</th><th></th><th>Stress flow ({{ unit }})</th>{% if has_mpr %}<th>Reserve</th>{% endif %}<th>Territory, AHA map</th><th>Territory, this patient</th></tr></thead><tbody>
{% for r in segments %}<tr{% if r.marked %} class="marked"{% endif %}><td>{{ r.segment }}</td><td>{{ r.name }}</td><td class="chip"><span style="background:{{ r.colour }};color:{{ r.ink }}">{{ r.mbf }}</span></td>{% if has_mpr %}<td>{{ r.mpr }}</td>{% endif %}<td>{{ r.aha }}</td><td{% if r.aha != r.patient and r.patient != "–" %} class="differs"{% endif %}>{{ r.patient }}</td></tr>
{% endfor %}</tbody></table>
{% if disagree %}<p class="note">{{ disagree }}</p>{% endif %}
{% if curves %}<h2>First pass</h2><img class="wide" src="{{ curves }}" alt="Signal over time by territory with the arterial input function">{% endif %}

<h2>How far to trust this</h2>
{% if flags %}<table><thead><tr><th>Part</th><th>Level</th><th>Why</th></tr></thead><tbody>
{% for q in flags %}<tr><td>{{ q.stage }}</td><td><span class="badge {{ q.level }}">{{ q.level }}</span></td><td>{{ q.reason }}</td></tr>
{% endfor %}</tbody></table>
{% else %}<p>No stage raised a doubt.</p>{% endif %}
<div class="cols"><div>
<h2>Match of CT and MR</h2>
<table class="small"><thead><tr><th>Slice</th><th>Height</th><th>Wall overlap before</th><th>after</th><th>Folded</th></tr></thead><tbody>
{% for r in registration %}<tr><td>{{ r.slice }}</td><td>{{ r.z }}</td><td>{{ r.before }}</td><td>{{ r.after }}</td><td>{{ r.folded }}</td></tr>
{% endfor %}</tbody></table>
</div><div>
<h2>How it was made</h2>
<table class="small"><tbody>
<tr><td>CardiacFusion</td><td>{{ run.version or "unknown version" }}{% if run.made_at %}, {{ run.made_at }}{% endif %}</td></tr>
{% for name in run.inputs %}<tr><td>{{ "Inputs" if loop.first }}</td><td>{{ name }}</td></tr>
{% endfor %}
{% for name, version in run.weights.items() %}<tr><td>{{ "Weights" if loop.first }}</td><td>{{ name }}: {{ version }}</td></tr>
{% endfor %}
{% for name, value in run.parameters.items() %}<tr><td>{{ "Parameters" if loop.first }}</td><td>{{ name }}: {{ value }}</td></tr>
{% endfor %}
{% if run.timings_s %}<tr><td>Time</td><td>{% for name, s in run.timings_s.items() %}{{ name }} {{ "%.0f"|format(s) }} s{{ ", " if not loop.last }}{% endfor %} (together {{ "%.0f"|format(total_s) }} s)</td></tr>{% endif %}
</tbody></table>
</div></div>

<footer>CardiacFusion is a research tool. <b>Not for clinical use.</b>{% if synthetic %} Images, flow and narrowings in this report are <b>synthetic</b> in whole or in part.{% endif %} Flow is coloured on one fixed scale in every picture; grey means not measured.</footer>
</main></body></html>
"""
