"""The table, the CSV and the plot of a run."""

import csv
import statistics

UNITS = {"iops": "/s", "p50": "µs", "p99": "µs", "cpu": "s/1k"}


def shown(figure, value):
    """A figure as it is printed."""
    if value is None:
        return "–"
    if figure == "iops":
        return f"{value / 1000:.1f}k" if value >= 1000 else f"{value:.0f}"
    return f"{value:.4f}" if figure == "cpu" else f"{value:.0f}"


def median(samples, job, system, figure):
    """The median over the rounds, or `None`."""
    found = [s[figure] for s in samples if (s["job"], s["system"]) == (job, system)]
    return statistics.median(found) if found else None


def rows(jobs, same_run, samples):
    """For each job with results: the figures by system, and the goals as (text, met)."""
    for job in jobs:
        source = same_run.get(job.name, job.name)
        found = {name: median(samples, source, name, job.figure) for name in job.systems}
        if found[job.systems[0]] is None:
            continue
        ours, goals = found[job.systems[0]], []
        for peer, ratio, how in job.goals:
            if found[peer]:
                got = ours / found[peer]
                met = got <= ratio if how == "<=" else got >= ratio
                goals.append((f"{got:.2f} × {peer} (goal {how} {ratio})", met))
        yield job, found, goals


def table(jobs, same_run, samples):
    """The table as lines of Markdown."""
    lines = ["| job | ours | peers | goals |", "|---|---|---|---|"]
    for job, found, goals in rows(jobs, same_run, samples):
        ours, *peers = job.systems
        said = ", ".join(
            f"{peer} {shown(job.figure, found[peer])}" for peer in peers if found[peer] is not None
        )
        judged = "; ".join(f"{text}: **{'met' if met else 'not met'}**" for text, met in goals)
        own = f"{shown(job.figure, found[ours])} {UNITS[job.figure]}"
        lines.append(f"| {job.name} | {own} | {said} | {judged or '–'} |")
    return lines


def write_csv(path, samples):
    """Every sample of every round."""
    names = ["round", "job", "system", "iops", "p50", "p99", "cpu", "load"]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, "", "ignore", lineterminator="\n")
        writer.writeheader()
        for sample in samples:
            whole = {k: round(v, 5) if isinstance(v, float) else v for k, v in sample.items()}
            writer.writerow(whole)


COLOURS = {
    "trefoil": "#1b6ca8",
    "trefoil-ds": "#1b6ca8",
    "trefoil-poll": "#1b6ca8",
    "trefoil-ds-poll": "#1b6ca8",
    "quorum": "#c8553d",
    "quorum-ds": "#c8553d",
    "qemu": "#e0a458",
    "qemu-ds": "#e0a458",
    "nbdkit-file": "#8a9a5b",
    "limit": "#9a9a9a",
    "limit-ds": "#9a9a9a",
}


def plot(path, jobs, same_run, samples):
    """Bars of requests a second, one group of bars for each job, each scaled to its longest."""
    bar, left, width = 13, 150, 420
    parts, y = [], 34
    for job, found, _ in rows(jobs, same_run, samples):
        if job.figure not in ("iops", "p50") or job.name in same_run:
            continue
        rates = {name: median(samples, job.name, name, "iops") for name in job.systems}
        longest = max(rate for rate in rates.values() if rate)
        parts.append(f'<text x="8" y="{y + 10}" font-weight="bold">{job.name}</text>')
        for name, rate in rates.items():
            if not rate:
                continue
            long = max(1, rate / longest * width)
            parts.append(
                f'<text x="{left - 6}" y="{y + 10}" text-anchor="end">{name}</text>'
                f'<rect x="{left}" y="{y}" width="{long:.0f}" height="{bar - 3}" '
                f'fill="{COLOURS[name]}"/>'
                f'<text x="{left + long + 5:.0f}" y="{y + 10}">{shown("iops", rate)}</text>'
            )
            y += bar
        y += 8
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="640" height="{y + 6}" '
        f'viewBox="0 0 640 {y + 6}" font-family="sans-serif" font-size="11">'
        '<rect width="100%" height="100%" fill="white"/>'
        '<text x="8" y="18" font-size="13">Requests a second, one run, medians: longer is '
        "faster</text>"
    )
    with open(path, "w", encoding="utf-8") as file:
        file.write(head + "\n" + "\n".join(parts) + "\n</svg>\n")
