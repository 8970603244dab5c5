"""Writes one set of rules several times: as a policy, as JSON for `select.py`, as SQL for DuckDB, as a jq program and as an
unrolled Python program.

Each form counts the same thing: for every rule the devices in scope that it selects. The peers only count; they write no
plan, no digest and no reasons, so every comparison is in their favour.

    python3 rules.py RULES NOW FOLDER      # NOW: the moment that ages count from, 2026-11-22T12:00:00Z
"""

import datetime
import json
import pathlib
import sys

DEPARTMENTS = ["fin", "hr", "eng", "ops", "sal", "leg"]
MODELS = ["lt", "pc", "nb"]
GROUPS = ["EU-Workstations", "US-Workstations", "Servers", "Linux", "Mobile"]


class Form:
    """How one language says what the rules need. Names and groups compare without case; `name` is lower case already."""

    def __init__(self, both, either, starts, ends, holds, equal, has_tag, seen, regex, build):
        self.both, self.either, self.starts, self.ends, self.holds = both, either, starts, ends, holds
        self.equal, self.has_tag, self.seen, self.regex, self.build = equal, has_tag, seen, regex, build


SQL = Form(
    both=lambda parts: "(" + " AND ".join(parts) + ")",
    either=lambda parts: "(" + " OR ".join(parts) + ")",
    starts=lambda field, text: f"starts_with({field}, '{text}')",
    ends=lambda field, text: f"ends_with({field}, '{text}')",
    holds=lambda field, text: f"contains({field}, '{text}')",
    equal=lambda field, text: f"{field} = '{text}'",
    has_tag=lambda tag: f"list_contains(tags, '{tag}')",
    seen=lambda oldest, newest: f"(seen >= '{oldest}' AND seen < '{newest}')",
    regex=lambda field, text: f"regexp_matches({field}, '{text}')",
    build=lambda least: f"build >= {least}",
)
JQ = Form(
    both=lambda parts: "(" + " and ".join(parts) + ")",
    either=lambda parts: "(" + " or ".join(parts) + ")",
    starts=lambda field, text: f'(${field} | startswith("{text}"))',
    ends=lambda field, text: f'(${field} | endswith("{text}"))',
    holds=lambda field, text: f'(${field} | contains("{text}"))',
    equal=lambda field, text: f'(${field} == "{text}")',
    has_tag=lambda tag: f'($tags | index("{tag}") != null)',
    seen=lambda oldest, newest: f'($seen >= "{oldest}" and $seen < "{newest}")',
    regex=lambda field, text: f"(${field} | test({json.dumps(text)}))",
    build=lambda least: f"($build != null and $build >= {least})",
)
PYTHON = Form(
    both=lambda parts: "(" + " and ".join(parts) + ")",
    either=lambda parts: "(" + " or ".join(parts) + ")",
    starts=lambda field, text: f"{field}.startswith({text!r})",
    ends=lambda field, text: f"{field}.endswith({text!r})",
    holds=lambda field, text: f"{text!r} in {field}",
    equal=lambda field, text: f"{field} == {text!r}",
    has_tag=lambda tag: f"{tag!r} in tags",
    seen=lambda oldest, newest: f"{oldest!r} <= seen < {newest!r}",
    regex=lambda field, text: f"re.search({text!r}, {field})",
    build=lambda least: f"build >= {least}",
)


def rule(number, now):
    """The selector of a rule, and a function from a form to its expression."""
    turn, two = number // 8, f"{number // 8 % 100:02}"
    department, model = DEPARTMENTS[turn % 6], MODELS[turn % 3]
    group = GROUPS[turn % 5]
    kind = number % 8
    if kind == 0:
        start = f"{department}-{model}-{turn:03}"
        return {"computerDnsName": {"startsWith": start}}, lambda f: f.starts("name", start)
    if kind == 1:
        start, end = f"web{two}", ".emea.corp.example.com"
        return (
            {"computerDnsName": {"glob": f"{start}*{end}"}},
            lambda f: f.both([f.starts("name", start), f.ends("name", end)]),
        )
    if kind == 2:
        net = f"10.40.{turn % 250}"
        return {"lastIpAddress": {"cidr": f"{net}.0/24"}}, lambda f: f.starts("ip", net + ".")
    if kind == 3:
        stamp = "%Y-%m-%dT%H:%M:%S"
        oldest = (now - datetime.timedelta(days=8 + turn)).strftime(stamp)
        newest = (now - datetime.timedelta(days=7 + turn)).strftime(stamp)
        return (
            {"lastSeen": {"olderThan": f"{7 + turn}d", "within": f"{8 + turn}d"}},
            lambda f: f.seen(oldest, newest),
        )
    if kind == 4:
        return (
            {"rbacGroupName": group, "computerDnsName": {"contains": f"{two}."}},
            lambda f: f.both([f.equal("grp", group.lower()), f.holds("name", two + ".")]),
        )
    if kind == 5:
        pattern = f"^(sql|app)[0-9]*{turn:03}\\."
        return {"computerDnsName": {"regex": pattern}}, lambda f: f.regex("name", pattern)
    if kind == 6:
        tag, net = f"app-{turn % 40 + 1:02}", f"10.40.{(turn * 7 + 3) % 250}"
        engineering = {"machineTags": {"has": "Engineering"}, "lastIpAddress": {"cidr": f"{net}.0/24"}}
        return (
            {"any": [{"machineTags": {"has": tag}}, engineering]},
            lambda f: f.either([f.has_tag(tag), f.both([f.has_tag("Engineering"), f.starts("ip", net + ".")])]),
        )
    least, text = 17763 + turn * 20, f"{turn:03}"
    return (
        {
            "osBuild": {"atLeast": least},
            "computerDnsName": {"contains": text},
            "not": {"rbacGroupName": "Servers"},
        },
        lambda f: f.both([f.build(least), f.holds("name", text), "grp_other_than_servers"]),
    )


def main():
    count, now, folder = int(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
    now = datetime.datetime.strptime(now, "%Y-%m-%dT%H:%M:%SZ")
    folder.mkdir(parents=True, exist_ok=True)
    rules = [rule(number, now) for number in range(count)]

    policy = ["version: 1", "guard:", "  caps:"]
    for cap in ["devices", "additions", "removals", "removalsPerTag", "values"]:
        policy.append(f"    {cap}: {{ percent: 100, floor: 1000000000 }}")
    policy.append("rules:")
    for number, (select, _) in enumerate(rules):
        policy.append(f"  - {{ name: r{number}, select: {json.dumps(select)}, tags: [bench/r{number}] }}")
    (folder / "policy.yaml").write_text("\n".join(policy) + "\n")
    selectors = {f"r{number}": select for number, (select, _) in enumerate(rules)}
    (folder / "select.json").write_text(json.dumps(selectors))

    def expressions(form, other):
        return [make(form).replace("grp_other_than_servers", other) for _, make in rules]

    counts = ",\n".join(
        f"  count(*) FILTER (WHERE {text}) AS r{number}"
        for number, text in enumerate(expressions(SQL, "grp <> 'servers'"))
    )
    (folder / "select.sql").write_text(f"SELECT\n{counts}\nFROM fleet\n")

    steps = "\n".join(
        f"| if {text} then .r{number} += 1 else . end"
        for number, text in enumerate(expressions(JQ, '($grp != "servers")'))
    )
    (folder / "select.jq").write_text(
        f"""reduce (inputs | select(has("id") and .mergedIntoMachineId == null)) as $d ({{}};
(($d.computerDnsName // "") | ascii_downcase) as $name | ($d.lastIpAddress // "") as $ip
| (($d.lastSeen // "")[0:19]) as $seen | (($d.rbacGroupName // "") | ascii_downcase) as $grp
| ($d.machineTags // []) as $tags | $d.osBuild as $build | .
{steps})
"""
    )

    tests = "\n".join(
        f"    if {text}: counts[{number}] += 1"
        for number, text in enumerate(expressions(PYTHON, "grp != 'servers'"))
    )
    (folder / "unrolled.py").write_text(
        f"""import json, re, sys
counts = [0] * {count}
for line in open(sys.argv[1], encoding="utf-8"):
    device = json.loads(line)
    if "id" not in device or device["mergedIntoMachineId"] is not None:
        continue
    name, ip = (device["computerDnsName"] or "").lower(), device["lastIpAddress"] or ""
    seen, grp = (device["lastSeen"] or "")[:19], (device["rbacGroupName"] or "").lower()
    tags, build = device["machineTags"], device["osBuild"] or 0
{tests}
json.dump({{f"r{{n}}": count for n, count in enumerate(counts) if count}}, sys.stdout)
"""
    )


main()
