"""The straightforward script: for every device and every rule, ask whether the rule's selector holds.

    python3 select.py FLEET RULES NOW      # RULES: select.json as rules.py writes it

Networks, patterns and durations are read once; a device's values are read once a device.
"""

import datetime
import fnmatch
import ipaddress
import json
import re
import sys


def prepared(selector):
    """A selector with its operands read."""
    if isinstance(selector, list):
        return [prepared(part) for part in selector]
    out = {}
    for field, test in selector.items():
        if field in ("any", "not"):
            out[field] = prepared(test)
        elif isinstance(test, str):
            out[field] = {"eq": test.lower()}
        else:
            out[field] = {operator: operand(operator, value) for operator, value in test.items()}
    return out


def operand(operator, value):
    if operator == "cidr":
        return ipaddress.ip_network(value)
    if operator == "regex":
        return re.compile(value, re.IGNORECASE)
    if operator == "glob":
        return re.compile(fnmatch.translate(value), re.IGNORECASE)
    if operator in ("olderThan", "within"):
        return datetime.timedelta(days=int(value.removesuffix("d")))
    if operator in ("startsWith", "contains"):
        return value.lower()
    return value


def read(device):
    """A device with its values read; texts in lower case."""
    text = lambda key: (device[key] or "").lower()
    ip, seen = device["lastIpAddress"], device["lastSeen"]
    return {
        "computerDnsName": text("computerDnsName"),
        "rbacGroupName": text("rbacGroupName"),
        "lastIpAddress": ipaddress.ip_address(ip) if ip else None,
        "lastSeen": datetime.datetime.fromisoformat(seen[:19]) if seen else None,
        "machineTags": set(device["machineTags"]),
        "osBuild": device["osBuild"],
    }


def holds(operator, value, wanted, now):
    if value is None:
        return False
    if operator == "eq":
        return value == wanted
    if operator == "startsWith":
        return value.startswith(wanted)
    if operator == "contains":
        return wanted in value
    if operator in ("regex", "glob"):
        return wanted.search(value) is not None
    if operator == "cidr":
        return value in wanted
    if operator == "has":
        return wanted in value
    if operator == "atLeast":
        return value >= wanted
    if operator == "olderThan":
        return now - value > wanted
    if operator == "within":
        return now - value <= wanted
    raise ValueError(operator)


def selects(selector, device, now):
    for field, test in selector.items():
        if field == "any":
            if not any(selects(part, device, now) for part in test):
                return False
        elif field == "not":
            if selects(test, device, now):
                return False
        else:
            for operator, wanted in test.items():
                if not holds(operator, device[field], wanted, now):
                    return False
    return True


def main():
    fleet, rules, now = sys.argv[1:]
    now = datetime.datetime.strptime(now, "%Y-%m-%dT%H:%M:%SZ")
    rules = {name: prepared(selector) for name, selector in json.load(open(rules)).items()}
    counts = {}
    for line in open(fleet, encoding="utf-8"):
        device = json.loads(line)
        if "id" not in device or device["mergedIntoMachineId"] is not None:
            continue
        device = read(device)
        for name, selector in rules.items():
            if selects(selector, device, now):
                counts[name] = counts.get(name, 0) + 1
    json.dump(counts, sys.stdout)


main()
