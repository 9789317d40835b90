"""Import rings: files of a crate each of which needs all others."""

import re

_PATH = re.compile(r"\b((?:crate|self|super)(?:::(?:super|\w+))+)")
_USE = re.compile(r"\b(?:pub(?:\([^)]*\))?\s+)?use\s+([^;]+);")
_REEXPORT = re.compile(r"\bpub(?:\([^)]*\))?\s+use\s+([^;]+);")


class Crate:
    """The files of a crate as modules: a tuple of names, `()` for the root."""

    def __init__(self, sources):
        """Takes `{module: Source}`."""
        self.modules = {module: source.without_tests for module, source in sources.items()}
        self.exported = {module: self._exports(module) for module in self.modules}

    def rings(self):
        """Lists of modules that need each other, the longest first."""
        edges = {module: self._needs(module) for module in self.modules}
        return sorted((ring for ring in components(edges) if len(ring) > 1), key=len, reverse=True)

    def _needs(self, module):
        code = _REEXPORT.sub(" ", self.modules[module].code) # a façade needs nothing of what it passes on
        paths = [path for found in _USE.finditer(code) for path in expand(found[1])]
        rest = _USE.sub(" ", code)
        paths += [found[1] for found in _PATH.finditer(rest)]
        return {target for path in paths if (target := self._file(module, path)) not in (None, module)}

    def _file(self, module, path):
        """The module whose file has what the path names; `None` if that is outside the crate."""
        absolute = self._absolute(module, path.split("::"))
        if absolute is None:
            return None
        return self._follow(absolute, 8)

    def _follow(self, names, budget):
        place = max((names[:length] for length in range(len(names) + 1) if names[:length] in self.modules), key=len)
        rest = names[len(place) :]
        target = self.exported[place].get(rest[0]) if rest and budget else None
        return self._follow(target + rest[1:], budget - 1) if target else place

    def _absolute(self, module, parts):
        if parts[0] == "crate":
            return tuple(parts[1:])
        if parts[0] not in ("self", "super"):
            # A path that begins with a child module, as in `pub use child::Name`.
            return module + tuple(parts) if module + (parts[0],) in self.modules else None
        place = module
        while parts and parts[0] in ("self", "super"):
            place = place[:-1] if parts[0] == "super" else place
            parts = parts[1:]
        return place + tuple(parts)

    def _exports(self, module):
        """What a module passes on under its own path: name → whole path."""
        exports = {}
        for found in _REEXPORT.finditer(self.modules[module].code):
            for path in expand(found[1]):
                path, _, name = path.partition(" as ")
                absolute = self._absolute(module, path.split("::"))
                if absolute:
                    exports[name or absolute[-1]] = absolute
        return exports


def expand(tree):
    """The paths of a `use` tree: `a::{b, c::{d, self}}` → `a::b`, `a::c::d`, `a::c`."""
    tree = " ".join(tree.split())
    if "{" not in tree:
        return [tree]
    prefix, _, rest = tree.partition("{")
    inside, depth, part, parts = rest.rpartition("}")[0], 0, "", []
    for char in inside + ",":
        depth += (char == "{") - (char == "}")
        if char == "," and depth == 0:
            parts.append(part.strip())
            part = ""
        else:
            part += char
    whole = [prefix + path for part in parts if part for path in expand(part)]
    return [re.sub(r"::self$", "", path) for path in whole]


def components(edges):
    """The strongly connected components of a graph (Tarjan, without recursion)."""
    order, low, stack, on_stack, found = {}, {}, [], set(), []

    def enter(node):
        order[node] = low[node] = len(order)
        stack.append(node)
        on_stack.add(node)
        return node, iter(sorted(edges[node]))

    for root in edges:
        work = [] if root in order else [enter(root)]
        while work:
            node, successors = work[-1]
            following = next(successors, None)
            if following is None:
                work.pop()
                _leave(node, work, order, low, stack, on_stack, found)
            elif following not in order:
                work.append(enter(following))
            elif following in on_stack:
                low[node] = min(low[node], order[following])
    return found


def _leave(node, work, order, low, stack, on_stack, found):
    if work:
        above = work[-1][0]
        low[above] = min(low[above], low[node])
    if low[node] != order[node]:
        return
    component = []
    while not component or component[-1] != node:
        component.append(stack.pop())
        on_stack.discard(component[-1])
    found.append(sorted(component))
