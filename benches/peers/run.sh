#!/usr/bin/env bash
# The same fleet and the same rules in mdetag, DuckDB, jq and Python: checks that all give the same answer, prints ratios. And
# what JSON parsers need for the same file alone, on the same processors.
#
#   benches/peers/run.sh [FOLDER]
#
# Needs cargo, python3, jq and DuckDB for Python (`pip install duckdb`; PYTHON=path/to/python3 chooses the interpreter), 3 GB
# of disk, and takes about ten minutes: jq and Python are run on as much as ends in minutes, and extrapolated linearly.
# Sizes: DEVICES (1000000), RULES (1000), SLOW_DEVICES (20000; what jq and Python get). MDETAG is the program to measure.
# No part of `cargo test`.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mkdir -p "${1:-/tmp/mdetag-peers}" && cd "${1:-/tmp/mdetag-peers}" && pwd)
devices=${DEVICES:-1000000} rules=${RULES:-1000} slow=${SLOW_DEVICES:-20000}
python=${PYTHON:-python3}
mdetag=${MDETAG:-$here/../../target/release/mdetag}
fleet=$work/fleet-$devices.ndjson
export XDG_STATE_HOME=$work/state XDG_CONFIG_HOME=$work/config

[ -f "$fleet" ] || "$mdetag" sandbox generate --devices "$devices" -o "$fleet"
# Noon of the day after the fleet was made: no device was seen at the very moment that ages count from.
now=$(head -c 1000 "$fleet" | grep -o '"readAt":"[0-9-]*' | cut -d'"' -f4)
now=$("$python" -c "import datetime,sys; print(datetime.date.fromisoformat(sys.argv[1]) + datetime.timedelta(days=1))" "$now")T12:00:00Z
"$python" "$here/rules.py" "$rules" "$now" "$work/rules"
small=$work/fleet-$slow.ndjson
head -n $((slow + 1)) "$fleet" > "$small"

# timed NAME COMMAND…: runs a command, writes its answer to NAME.out, and keeps seconds, processor seconds and memory.
timed() {
    local name=$1
    shift
    # A plan file of the run before would be freed while it is written over.
    rm -f "$work/$name.json"
    /usr/bin/time -f "%e %U %S %M" -o "$work/$name.time" "$@" > "$work/$name.out"
    awk -v name="$name" '{ printf "%-28s %8.2f s  %8.2f s of processors  %6.0f MB\n", name, $1, $2 + $3, $4 * 1024 / 1e6 }' "$work/$name.time"
}

# Best of five, or of one where one takes long: what else the machine does only ever adds.
best() {
    local name=$1 seconds
    shift
    for _ in 1 2 3 4 5; do
        timed "$name" "$@"
        seconds=$(cut -d' ' -f1 "$work/$name.time")
        if [ ! -f "$work/$name.best" ] || awk "BEGIN { exit !($seconds < $(cat "$work/$name.best")) }"; then
            echo "$seconds" > "$work/$name.best"
            cp "$work/$name.time" "$work/$name.least"
        fi
        if [ "${seconds%.*}" -ge 30 ]; then break; fi
    done
}

rm -f "$work"/*.best "$work"/*.least
echo "$devices devices, $rules rules, $(nproc) processors, load $(cut -d' ' -f1 /proc/loadavg)"
plan() { best "$1" "$mdetag" plan "$work/rules/policy.yaml" --inventory "$2" --now "$now" -o "$work/$1.json"; }
plan mdetag "$fleet"
plan mdetag-small "$small"

parsers="serde-value serde-typed simd-value simd-tape sonic-typed sonic-value serde-skip"
cargo build --quiet --release --manifest-path "$here/parse/Cargo.toml" --target-dir "$work/target"
for parser in $parsers; do
    best "$parser" "$work/target/release/parse" "$parser" "$fleet" "$(nproc)"
done

cat > "$work/duck.py" <<'PY'
import json, sys, duckdb
fleet, select = sys.argv[1:3]
columns = "{id: 'VARCHAR', mergedIntoMachineId: 'VARCHAR', computerDnsName: 'VARCHAR', lastIpAddress: 'VARCHAR', lastSeen: 'VARCHAR', rbacGroupName: 'VARCHAR', machineTags: 'VARCHAR[]', osBuild: 'BIGINT'}"
db = duckdb.connect()
db.execute(f"""CREATE TABLE fleet AS SELECT lower(coalesce(computerDnsName, '')) AS name, coalesce(lastIpAddress, '') AS ip,
    coalesce(lastSeen, '')[1:19] AS seen, lower(coalesce(rbacGroupName, '')) AS grp, machineTags AS tags,
    coalesce(osBuild, 0) AS build
    FROM read_ndjson('{fleet}', columns = {columns}) WHERE id IS NOT NULL AND mergedIntoMachineId IS NULL""")
answer = db.execute(open(select).read())
names = [column[0] for column in answer.description]
print(json.dumps({name: count for name, count in zip(names, answer.fetchone()) if count}))
PY
best duckdb "$python" "$work/duck.py" "$fleet" "$work/rules/select.sql"
timed python "$python" "$here/select.py" "$small" "$work/rules/select.json" "$now"
timed unrolled "$python" "$work/rules/unrolled.py" "$small"
timed jq jq -n -f "$work/rules/select.jq" "$small"

"$python" - "$work" "$devices" "$slow" $parsers <<'PY'
import json, sys
work, devices, slow, parsers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]


def planned(name):
    counts = {}
    for change in json.load(open(f"{work}/{name}.json"))["changes"]:
        for add in change["add"]:
            rule = add["tag"].removeprefix("bench/")
            counts[rule] = counts.get(rule, 0) + 1
    return counts


def same(one, other, name):
    if one != other:
        wrong = {rule for rule in one.keys() | other.keys() if one.get(rule) != other.get(rule)}
        sys.exit(f"{name} gives another answer for {sorted(wrong)[:5]}")
    print(f"{name}: the same answer, {sum(one.values())} device-tag pairs of {len(one)} rules")


same(planned("mdetag"), json.load(open(f"{work}/duckdb.out")), "duckdb")
small = planned("mdetag-small")
same(small, json.load(open(f"{work}/python.out")), "python")
same(small, json.load(open(f"{work}/unrolled.out")), "unrolled")
same(small, json.load(open(f"{work}/jq.out")), "jq")


def seconds(name):
    elapsed, user, system, _ = map(float, open(f"{work}/{name}").read().split())
    return elapsed, user + system


own = seconds("mdetag.least")
for name in parsers:
    elapsed, processors = (mine / other for other, mine in zip(seconds(f"{name}.least"), own))
    print(f"mdetag ÷ {name}: {elapsed:.2f} elapsed, {processors:.2f} of processors")
extrapolated = devices / slow
for name, file, share in [
    ("duckdb", "duckdb.least", 1),
    ("python", "python.time", extrapolated),
    ("unrolled", "unrolled.time", extrapolated),
    ("jq", "jq.time", extrapolated),
]:
    elapsed, processors = (other * share / mine for other, mine in zip(seconds(file), own))
    how = f" (measured on {slow} devices, extrapolated linearly)" if share != 1 else ""
    print(f"{name} ÷ mdetag: {elapsed:.1f} elapsed, {processors:.1f} of processors{how}")
PY
