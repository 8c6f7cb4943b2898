#!/usr/bin/env python3
"""Runs upstream's conformance suite against a cluster, and keeps a verdict for each test.

    tests/conformance/run.py --e2e-test PATH --kubeconfig FILE [--results FILE] [--focus REGEX]

A process for each test, and five minutes at most. Tests that upstream marks [Serial] run alone
after the others. What has a verdict is not run again: remove its line to have it tried anew, or
give --again for those that failed. Results are lines of verdict, seconds, test and the cause of
a failure, with tabs between.
"""

import argparse
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time

LIMIT_SECONDS = 300
WORD = re.compile(r"^\s*\S+\.go:\d+: (.*\[Conformance\].*)$")


def listed(program):
    """Names of all conformance tests."""
    said = subprocess.run([program, "--list-tests"], capture_output=True, text=True, check=True).stdout
    names = {match.group(1).strip() for match in map(WORD.match, said.splitlines()) if match}
    return sorted(names)


def known(path):
    """Verdicts of earlier runs."""
    verdicts = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            for line in file:
                verdict, seconds, name, cause = (line.rstrip("\n").split("\t") + ["", "", ""])[:4]
                verdicts[name] = (verdict, seconds, cause)
    return verdicts


def save(path, verdicts):
    """Writes all verdicts, whole or not at all."""
    with open(path + ".new", "w", encoding="utf-8") as file:
        for name in sorted(verdicts):
            file.write("\t".join((verdicts[name][0], verdicts[name][1], name, verdicts[name][2])).rstrip() + "\n")
    os.replace(path + ".new", path)


def cause_of(report):
    """The first line that tells why a test failed."""
    for suite in report:
        for spec in suite.get("SpecReports") or []:
            message = (spec.get("Failure") or {}).get("Message", "")
            if message:
                lines = [line.strip() for line in message.splitlines() if line.strip()]
                return " ".join(lines)[:300].replace("\t", " ")
    return "no report"


def run(program, kubeconfig, name, logs):
    """Runs one test and gives its verdict."""
    began = time.monotonic()
    report = tempfile.mktemp(suffix=".json")
    command = [
        program, f"--kubeconfig={kubeconfig}", "--provider=skeleton", "--ginkgo.no-color", "--ginkgo.silence-skips",
        f"--ginkgo.focus= {re.escape(name)}$", f"--ginkgo.json-report={report}", "--ginkgo.timeout=280s",
        "--allowed-not-ready-nodes=-1", "--disable-log-dump", "--node-os-distro=debian",
    ]
    log = os.path.join(logs, re.sub(r"[^A-Za-z0-9]+", "-", name)[:180] + ".log")
    try:
        with open(log, "w", encoding="utf-8") as out:
            done = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, timeout=LIMIT_SECONDS, check=False)
        verdict, cause = ("pass", "") if done.returncode == 0 else ("fail", "")
    except subprocess.TimeoutExpired:
        verdict, cause = "fail", f"it did not end within {LIMIT_SECONDS} s"
    if os.path.exists(report):
        with open(report, encoding="utf-8") as file:
            told = json.load(file)
        os.unlink(report)
        ran = sum(spec["State"] == "passed" and spec["LeafNodeType"] == "It" for suite in told for spec in suite["SpecReports"] or [])
        if verdict == "pass" and ran != 1:
            verdict, cause = "skip", f"{ran} tests ran under this name"
        if verdict == "fail" and not cause:
            cause = cause_of(told)
    return verdict, f"{time.monotonic() - began:.0f}", cause


def main():
    """Reads arguments, runs what has no verdict, and says how many pass."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--e2e-test", required=True, help="upstream's e2e.test")
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--results", default="tests/conformance/results.tsv")
    parser.add_argument("--logs", default=None, help="a folder for what each test says")
    parser.add_argument("--focus", default="", help="only tests whose name has this (a regular expression)")
    parser.add_argument("--again", action="store_true", help="run those that failed again")
    parser.add_argument("--parallel", type=int, default=4)
    given = parser.parse_args()
    logs = given.logs or tempfile.mkdtemp(prefix="conformance-")
    os.makedirs(logs, exist_ok=True)
    verdicts = known(given.results)
    wanted = [name for name in listed(given.e2e_test) if re.search(given.focus, name)]
    due = [name for name in wanted if name not in verdicts or (given.again and verdicts[name][0] != "pass")]
    print(f"{len(wanted)} tests, {len(due)} to run; what they say is in {logs}", flush=True)
    guard = threading.Lock()

    def one(name):
        verdict = run(given.e2e_test, given.kubeconfig, name, logs)
        with guard:
            verdicts[name] = verdict
            save(given.results, verdicts)
            print(f"{verdict[0]:4} {verdict[1]:>4} s  {name}" + (f"\n             {verdict[2]}" if verdict[2] else ""), flush=True)

    together = [name for name in due if "[Serial]" not in name]
    alone = [name for name in due if "[Serial]" in name]
    with concurrent.futures.ThreadPoolExecutor(given.parallel) as pool:
        list(pool.map(one, together))
    for name in alone:
        one(name)
    passed = sum(verdicts.get(name, ("",))[0] == "pass" for name in wanted)
    print(f"{passed} of {len(wanted)} pass")
    return 0 if passed == len(wanted) else 1


if __name__ == "__main__":
    sys.exit(main())
