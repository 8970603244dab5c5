"""Writes a file of device groups of every kind of condition, as policies take it with `deviceGroups: { file: FILE }`.

    python3 groups.py GROUPS > groups.json

Of ten groups, three name a tag whole, two look for the start, the end or a part of a tag, two for the start of a name with a
platform, one for a part of a name with a domain, one for the end of a name, and one for a domain with a platform.
"""

import json
import sys

PLATFORMS = ["Windows11", "Windows10", "WindowsServer2022", "Linux", "macOS"]
LEVELS = ["none", "approve-all", "approve-non-temporary", "approve-core", "full"]


def conditions(number):
    site = ["fin-lt", "hr-pc", "eng-nb", "srv", "kiosk"][number // 10 % 5]
    platform = {"equals": PLATFORMS[number % len(PLATFORMS)]}
    domain = {"endsWith": ["emea.corp.example.com", "apac.corp.example.com", f"d{number}.example.net"][number % 3]}
    match number % 10:
        case 0 | 1 | 2:
            return {"tag": [{"equals": f"bench/r{number % 1000}"}, {"in": [f"group/{number}", f"team/{number}"]}]}
        case 3:
            return {"tag": [{"startsWith": f"site/{number}"}]}
        case 4:
            return {"tag": [{"endsWith": f"-{number}"}, {"contains": f"/{number}-"}]}
        case 5 | 6:
            return {"name": [{"startsWith": f"{site}-{number % 1000:03}"}, {"startsWith": f"web{number:04}"}], "os": [platform]}
        case 7:
            return {"name": [{"contains": f"-{number:04}-"}], "domain": [domain]}
        case 8:
            return {"name": [{"endsWith": f"{number:04}.corp.example.com"}]}
        case _:
            return {"domain": [{"equals": f"d{number}.example.net"}], "os": [platform]}


groups = [
    {"name": f"group-{number:04}", "remediation": LEVELS[number % len(LEVELS)], "access": [f"team-{number % 40}"],
     "when": conditions(number)}
    for number in range(int(sys.argv[1]))
]
json.dump({"groups": groups}, sys.stdout)
