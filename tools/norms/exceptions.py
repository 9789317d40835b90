"""What may break a norm, how far, and why. The list only shrinks."""

import re
import tomllib

_ENTRY = re.compile(r"^\[\[exception\]\]\n(?:(?!\[\[).*\n?)*", re.M)


class Exceptions:
    def __init__(self, file):
        self.file = file
        self.entries = tomllib.loads(file.read_text()).get("exception", [])

    def compare(self, findings):
        """What fails: findings over what is allowed, exceptions without need or reason."""
        allowed = {(entry["norm"], entry["where"]): entry["most"] for entry in self.entries}
        failures = [
            f"{norm}: {where} has {value}, allowed are {allowed.get((norm, where), 'the norm and no exception')}"
            for (norm, where), value in findings.items()
            if value > allowed.get((norm, where), 0)
        ]
        failures += [
            f"{norm}: {where} keeps the norm; its exception goes out: tools/norms --shrink"
            for norm, where in allowed
            if (norm, where) not in findings
        ]
        failures += [f"{entry['norm']}: {entry['where']} is excepted without a reason" for entry in self.entries if not entry.get("reason")]
        return failures

    def shrink(self, findings):
        """Takes out exceptions that nothing needs, and lowers those that allow too much; never raises or adds any."""
        text = _ENTRY.sub(lambda found: _shrunk(found[0], findings), self.file.read_text())
        self.file.write_text(text.rstrip("\n") + "\n")
        self.__init__(self.file)


def _shrunk(text, findings):
    entry = tomllib.loads(text)["exception"][0]
    value = findings.get((entry["norm"], entry["where"]))
    if value is None:
        return ""
    return re.sub(r"(?m)^most = .*$", f"most = {min(value, entry['most'])}", text)
