"""The rows of bench/results.json."""

import json
import statistics


class Rows(list):
    """Rows in the order in which they were measured; each is printed as it comes."""

    @classmethod
    def load(cls, path):
        """Those of a file that `save` wrote; none when there is none."""
        return cls(json.loads(path.read_text()) if path.exists() else ())

    def add(self, workload, subject, metric, value, unit, rtt_ms=0, **more):
        """One figure; `more` says under which conditions it was measured."""
        row = {"workload": workload, "rtt_ms": rtt_ms, "subject": subject, "metric": metric, "value": value, "unit": unit}
        self.append({**row, **more})
        told = "".join(f", {k} {v}" for k, v in more.items())
        print(f"  {workload} {subject}: {metric} {value} {unit} at {rtt_ms} ms{told}", flush=True)

    def add_spread(self, workload, subject, metric, values, unit, rtt_ms=0, **more):
        """The median of `values`, with the lowest, the highest and how many there were."""
        middle = round(statistics.median(values), 3)
        ends = {"low": round(min(values), 3), "high": round(max(values), 3), "n": len(values)}
        self.add(workload, subject, metric, middle, unit, rtt_ms, **more, **ends)

    def get(self, workload, subject, metric, rtt_ms=0, **more):
        """The value of the row that has all of this, None when there is none; without `loss`, one without loss."""
        want = {"workload": workload, "subject": subject, "metric": metric, "rtt_ms": rtt_ms, "loss": 0, **more}
        for row in self:
            if all(row.get(k, 0) == v for k, v in want.items()):
                return row["value"]
        return None

    def save(self, path):
        """Write them as JSON, one row a line."""
        text = ",\n".join(" " + json.dumps(row) for row in self)
        path.write_text("[\n" + text + "\n]\n")
