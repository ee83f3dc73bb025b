"""Bench (h): the import of a file of histograms of nearly 2 GB, the largest that is taken: time and memory.

    .venv/bin/python -m bench.imports [--bytes N] [--write] [--folder FOLDER]

The histograms of a few simulated runs are exported as JSON Lines and repeated under other run numbers until the file is
as large as requested. `flask import FILE --dry-run` checks it in a separate process, whose peak memory is shown; with
`--write` it is then imported. The database is an embedded one in FOLDER, removed afterwards if no folder is given; it
takes about 5 GB while the rows of the file are staged.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bson import ObjectId

from app import create_app
from app.driftwatch import Driftwatch
from app.subsystems.dt.simulate import simulate_run
from config import Settings

BYTES = 1_990_000_000
TEMPLATES = range(302_601, 302_605)
FIRST = 100_000  # the first copy's number


def main() -> int:
    parser = argparse.ArgumentParser(description="The import of a large file.")
    parser.add_argument("--bytes", type=int, default=BYTES, help="size of the file")
    parser.add_argument("--write", action="store_true", help="import it too, and not only check it")
    parser.add_argument("--folder", type=Path, help="where the file and the database are made, and stay")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = args.folder or Path(name)
        driftwatch: Driftwatch = create_app(Settings(data_dir=folder)).extensions["driftwatch"]
        file, begin = folder / "histograms.jsonl", time.perf_counter()
        rows = make(driftwatch, file, args.bytes)
        print(f"{file.stat().st_size:,} bytes, {rows:,} histograms; made in {time.perf_counter() - begin:.0f} s")
        flask(folder, rows, "check", "import", str(file), "--dry-run")
        if args.write:
            flask(folder, rows, "check and write", "import", str(file))
        driftwatch.close()
    return 0


def make(driftwatch: Driftwatch, file: Path, size: int) -> int:
    """Write the file and register its runs; returns the number of histograms."""
    for number in TEMPLATES:
        driftwatch.store.runs.request(number, "bench", len(driftwatch.subsystem.places()))
        found = [(chamber, simulated.occupancy) for chamber, simulated in simulate_run(number).items()]
        driftwatch.store.items.store(number, found, "bench")
    manifest, *lines = b"".join(driftwatch.exporting.export(["histograms"], "jsonl", "bench").pieces).splitlines(True)
    templates = [json.loads(line) for line in lines[:-1]]
    digest, rows, run = hashlib.sha256(), 0, FIRST
    with file.open("wb") as out:
        out.write(manifest)
        while out.tell() < size:
            for template in templates:
                number = run + template["run"] - TEMPLATES[0]
                line = json.dumps(template | {"run": number, "id": str(ObjectId())}, separators=(",", ":")).encode()
                digest.update(line + b"\n")
                out.write(line + b"\n")
            rows += len(templates)
            for number in range(run, run + len(TEMPLATES)):
                driftwatch.store.runs.request(number, "bench", len(driftwatch.subsystem.places()))
            run += len(TEMPLATES)
        out.write(json.dumps({"end": {"rows": rows, "sha256": digest.hexdigest()}}).encode() + b"\n")
    return rows


def flask(folder: Path, rows: int, what: str, *arguments: str) -> None:
    """Run a command on the database in a folder, and print its time and memory."""
    begin = time.perf_counter()
    with (folder / "said.txt").open("w") as said:
        command = [sys.executable, "-m", "flask", *arguments]
        done = subprocess.run(command, env=os.environ | {"DATA_DIR": str(folder)}, stdout=said, check=False)
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000  # of the largest child process so far
    last = (folder / "said.txt").read_text().splitlines()[-1]
    print(
        f"{what}: {seconds:.0f} s, {rows / seconds:,.0f} rows a second, at most {peak:.0f} MB; status {done.returncode}"
    )
    print(f"  {last}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
