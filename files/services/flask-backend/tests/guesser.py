"""Signs in to one account from so many threads at once, again and again; a process of its own, as attackers have.

Usage: python guesser.py PORT THREADS

The first line of its standard input is what each request says. It ends when that input does, and prints how often it
got which status and code, as JSON.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import sys
import threading
from collections import Counter


def main() -> None:
    port, threads = int(sys.argv[1]), int(sys.argv[2])
    # Attackers bring CPUs of their own; here they have what the service and its clients leave.
    os.nice(10)
    body = sys.stdin.readline().strip()
    over = threading.Event()
    found: Counter[str] = Counter()

    def guess() -> None:
        while not over.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
            try:
                connection.request("POST", "/api/v1/auth/login", body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                told = json.loads(answer.read())
            finally:
                connection.close()
            found[f"{answer.status} {told.get('code', '')}".strip()] += 1
            # As told, and as far apart as people and networks are.
            over.wait(int(answer.headers.get("Retry-After", 0)) * random.uniform(0.5, 1.0))  # noqa: S311

    running = [threading.Thread(target=guess) for _ in range(threads)]
    for thread in running:
        thread.start()
    sys.stdin.read()
    over.set()
    for thread in running:
        thread.join()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
