"""One self-contained HTML page of what perf/run measured: charts, every case, and an earlier run beside it."""

import io
import re

import jinja2
import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({
    "svg.fonttype": "none",  # text stays text: small, and it can be searched
    "svg.hashsalt": "skyedge",
    "font.family": "sans-serif", "font.size": 10,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25,
})
from matplotlib import pyplot  # noqa: E402  after its backend is chosen

KINDS = ("clear", "header", "frame")  # of protection, AES-256-GCM
COLOURS = dict(zip(KINDS, ("#4c78a8", "#f58518", "#54a24b")))
STAGES = ("receive", "classify", "open", "take_over", "route", "egress", "ingress", "hold", "seal", "transmit")
PERCENTILES = ("p50", "p90", "p99", "p99.9", "p99.99")
LOAD_COLOURS = ("#9ecae9", "#4c78a8", "#1f3d60")
FRAME_OVERHEAD = {"clear": 14 + 16, "header": 14 + 32, "frame": 14 + 32}  # bytes around a packet on Ethernet

PAGE = jinja2.Environment(autoescape=True).from_string("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Skyedge: perf/run</title>
<style>
 body { font: 15px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
 h2 { margin-top: 2.5rem; } figure { margin: 1rem 0; } figure svg { width: 100%; height: auto; }
 table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
 th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #ddd; }
 th:first-child, td:first-child, td.words { text-align: left; } .near { color: #2a7d2a; } .far { color: #b03030; }
</style></head><body>
<h1>Skyedge: what packets cost</h1>
<p>{{ machine.cpu }}, {{ machine.cpus }} cores, TSC {{ "%.2f"|format(machine.tsc_hz / 1e9) }} GHz, core about
{{ "%.2f"|format(machine.core_hz / 1e9) }} GHz, Linux {{ machine.kernel }},
{{ "hugepages of 2 MiB" if machine.hugepages else "no hugepages" }}, load {{ machine.load }}.
Each value is the median of its runs; <em>ratio</em> says how near the limit: 1 is at it, above 1
beyond. The hypervisor stole {{ "%.1f"|format(machine.get("stolen_ms", 0) / 1e3) }} s of CPU time meanwhile.</p>
{% for title, words, svg in charts %}<h2>{{ title }}</h2><p>{{ words }}</p><figure>{{ svg }}</figure>
{% endfor %}<h2>Every case</h2>
<table><tr><th>case</th><th>value</th><th>spread</th><th>limit</th><th>ratio</th>{% if old %}<th>then</th><th>change</th>
{% endif %}<th>M/s</th><th></th></tr>
{% for case in cases %}<tr><td>{{ case.name }}</td><td>{{ "%.1f"|format(case.value) }}</td>
<td>{{ "%.1f"|format(case.spread) }}</td><td>{{ "%.1f"|format(case.limit) }}</td>
<td class="{{ "near" if case.ratio >= 0.83 else "far" if case.ratio < 0.5 else "" }}">{{ "%.3f"|format(case.ratio) }}</td>
{% if old %}{% set then = old.get(case.name) %}<td>{{ "%.1f"|format(then.value) if then else "" }}</td>
<td>{{ "%+.1f %%"|format(100 * (case.value / then.value - 1)) if then and then.value and then.unit == case.unit else "" }}</td>
{% endif %}<td>{{ "%.2f"|format(case.millions_per_second) if case.millions_per_second else "" }}</td>
<td class="words">{{ case.unit }}; limit: {{ case.limit_is }}</td></tr>
{% endfor %}</table></body></html>
""")


def write(path, run, old=None):
    """`run` and `old` as --json writes them."""
    cases = {case["name"]: case for case in run["cases"]}
    before = {case["name"]: case for case in old["cases"]} if old else {}
    charts = [chart for chart in (against_size(cases), throughput(cases), against_table(cases),
                                  against_links(cases), latency(cases), stages(cases), distance(cases, before)) if chart]
    path.write_text(PAGE.render(machine=run["machine"], charts=charts, cases=run["cases"], old=before))


def svg_of(figure):
    out = io.StringIO()
    figure.savefig(out, format="svg", bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)
    return jinja2.utils.markupsafe.Markup(out.getvalue()[out.getvalue().index("<svg"):])


def sizes(cases, kind):
    """[(bytes, case)] of forward/KIND-BYTES, the smallest first."""
    found = ((re.fullmatch(rf"forward/{kind}-(\d+)", name), case) for name, case in cases.items())
    return sorted(((int(match[1]), case) for match, case in found if match), key=lambda pair: pair[0])


def size_axis(axes, points):
    axes.set_xscale("log", base=2)
    ticks = sorted({bytes_ for kind in points.values() for bytes_, _ in kind})
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("bytes of the packet")


def lines_by_size(cases, value_of, label, limits):
    points = {kind: sizes(cases, kind) for kind in KINDS}
    if not any(points.values()):
        return None
    figure, axes = pyplot.subplots(figsize=(9, 4.2))
    for kind, line in points.items():
        if not line:
            continue
        x = [bytes_ for bytes_, _ in line]
        axes.plot(x, [value_of(kind, bytes_, case["value"]) for bytes_, case in line], "o-", color=COLOURS[kind], label=kind)
        if limits:
            axes.plot(x, [value_of(kind, bytes_, case["limit"]) for bytes_, case in line], "--", color=COLOURS[kind],
                      alpha=0.6)
    size_axis(axes, points)
    axes.set_ylim(bottom=0)
    axes.set_ylabel(label)
    axes.legend(title="dashed: the limit" if limits else None, frameon=False)
    return svg_of(figure)


def against_size(cases):
    svg = lines_by_size(cases, lambda kind, bytes_, clocks: clocks, "TSC clocks a packet", limits=True)
    words = "What a transit hop takes of one core; its limit is the raw AEAD of the same bytes and a macswap."
    return svg and ("Clocks against size", words, svg)


def throughput(cases):
    hz = next((case["millions_per_second"] * 1e6 * case["value"] for case in cases.values() if case["unit"] == "clocks/packet"),
              0)
    svg = lines_by_size(cases, lambda kind, bytes_, clocks: hz / clocks * 8 * (bytes_ + FRAME_OVERHEAD[kind]) / 1e9,
                        "Gbit/s of frames", limits=False)
    return svg and ("Throughput against size", "The same in frames on the wire, by one core.", svg)


def against_table(cases):
    """table/N, circuits drawn by Zipf's law, and table/N-uniform."""
    units = {"": 1, "k": 10**3, "M": 10**6}
    found = [(re.fullmatch(r"table/(\d+)([kM]?)(-uniform)?", name), case) for name, case in cases.items()]
    points = sorted(((int(match[1]) * units[match[2]], match[3] is not None, case) for match, case in found if match),
                    key=lambda point: point[0])
    if not points:
        return None
    figure, axes = pyplot.subplots(figsize=(9, 3.6))
    for uniform, label, colour in ((False, "Zipf", "clear"), (True, "uniform", "frame")):
        line = [(rules, case) for rules, is_uniform, case in points if is_uniform == uniform]
        for key, style in (("value", "o-"), ("limit", "--")):
            axes.plot([rules for rules, _ in line], [case[key] for _, case in line], style, color=COLOURS[colour],
                      label=label if key == "value" else None, alpha=1 if key == "value" else 0.6)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("rules that packets are drawn from")
    axes.set_ylabel("TSC clocks a packet")
    axes.legend(title="dashed: macswap", frameon=False)
    return "Clocks against table size", "Clear packets of 64 bytes, so that the look-up is seen.", svg_of(figure)


def against_links(cases):
    line = sorted((int(name.split("/")[1]), case) for name, case in cases.items() if re.fullmatch(r"links/\d+", name))
    if not line:
        return None
    figure, axes = pyplot.subplots(figsize=(9, 3.6))
    for key, style, label in (("value", "o-", "forward/header-64"), ("limit", "--", "the limit over the same keys")):
        axes.plot([links for links, _ in line], [case[key] for _, case in line], style, color=COLOURS["header"], label=label)
    axes.set_xscale("log", base=2)
    axes.set_xticks([links for links, _ in line], [str(links) for links, _ in line])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("links that packets come from and go to at random")
    axes.set_ylabel("TSC clocks a packet")
    axes.legend(frameon=False)
    return "Clocks against links", "Keys and links that no cache holds.", svg_of(figure)


def latency(cases):
    loads = sorted((int(name.split("/")[1]), case) for name, case in cases.items() if re.fullmatch(r"latency/\d+", name))
    if not loads:
        return None
    figure, axes = pyplot.subplots(figsize=(9, 4.2))
    x = range(len(PERCENTILES))
    for (load, case), colour in zip(loads, LOAD_COLOURS):
        label = f"{load} %: {case['rate'] / 1e6:.1f} M/s"
        axes.plot(x, [case[name] / 1e3 for name in PERCENTILES], "o-", color=colour, label=label)
        axes.plot(x, [case[f"limit_{name}"] / 1e3 for name in PERCENTILES], "--", color=colour, alpha=0.6)
    axes.set_xticks(x, [name.removeprefix("p") + " %" for name in PERCENTILES])
    axes.set_xlabel("percentile of the packets")
    axes.set_yscale("log")
    axes.set_ylabel("us from arrival to departure")
    axes.legend(title="share of the limit; dashed: macswap", frameon=False)
    return "Latency", "By a schedule of arrivals that waits for nobody, from there until the frame left.", svg_of(figure)


def bars(count):
    return pyplot.subplots(figsize=(9, 0.8 + 0.26 * count))


def stages(cases):
    timed = [case for case in cases.values() if case.get("stages")]
    if not timed:
        return None
    figure, axes = bars(len(timed))
    names = [case["name"] for case in timed][::-1]
    left = [0.0] * len(timed)
    for stage in STAGES:
        widths = [case["stages"].get(stage, 0.0) for case in timed][::-1]
        if any(widths):
            axes.barh(names, widths, left=left, label=stage)
            left = [start + width for start, width in zip(left, widths)]
    axes.set_xlabel("TSC clocks a packet, in the turns that are timed")
    axes.legend(ncols=5, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    return "Where they go", "By stage, as skyctl show stages has them.", svg_of(figure)


def distance(cases, before):
    if not cases:
        return None
    figure, axes = bars(len(cases))
    names = list(cases)[::-1]
    axes.barh(names, [cases[name]["ratio"] for name in names], color="#9ecae9")
    then = [name for name in names if name in before]
    if then:
        axes.plot([before[name]["ratio"] for name in then], then, "|", color="#333", markersize=12, label="the earlier run")
        axes.legend(frameon=False)
    axes.axvline(1.0, color="#333", linewidth=1)
    axes.set_xscale("log")
    axes.set_xticks([0.1, 0.2, 0.5, 1, 2, 5], ["0.1", "0.2", "0.5", "1", "2", "5"])
    axes.set_xlabel("ratio: 1 is at the limit")
    return "How near the limit", "Cases above 1 do less than what they are compared with, or do it faster.", svg_of(figure)
