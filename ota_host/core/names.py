"""Short names for what nobody outside of the core sees: those that are in every firmware cost no RAM.

A name that the firmware does not know takes its length and about 11 bytes of a board's heap, once
for all modules. So private functions, attributes and arguments get the names of the firmware's own.
"""

import ast
import builtins

from .program import FUNCTIONS
from .texts import ERROR

# Names that MicroPython itself has on any usual board, from its types and modules.
FIRMWARE = """
BytesIO EEXIST EINVAL EIO ENOENT Event FileIO IOBase Lock OrderedDict Signal StringIO TextIOWrapper VfsFat
VfsLfs2 a2b_base64 abs accept acos add addressof append appendleft args argv array asin atan atan2 b2a_base64
bin bind bool bound_method buffer bytearray byteorder bytes_at calcsize callable cancel ceil center cert_reqs
chdir choice chr clear close closure collect compile complex connect const copy cos count crc32 decode degrees
delattr deque dict difference digest disable discard divmod do_handshake dump dumps enable encode end endswith
enumerate errno errorcode eval exec execfile exit exp extend fabs file fileno find floor flush fmod format
frexp from_bytes frozenset get getaddrinfo getattr getcwd getrandbits getter getvalue globals gmtime group
hasattr hash heap_lock heap_unlock heapify heappop heappush hex hexlify id ilistdir imag implementation index
input insert int intersection ioctl ipoll isalpha isdigit isdisjoint isenabled isfinite isinf isinstance
islower isnan isspace issubclass issubset issuperset isupper items iter join kbd_intr key keys ldexp len list
listdir listen little load loads locals localtime log lookahead lower lstrip main makefile map match max
maxsize mem16 mem32 mem8 mem_alloc mem_free mem_info memoryview micropython min mkdir mkfs mktime modf modify
modules mount mtime name namedtuple next object oct off on open opt_level pack pack_into partition path pi
platform poll pop popitem popleft pow print_exception progsize property qstr_info radians randint randrange
range read readblocks readinto readline readlines readsize real recv recvfrom register remove rename replace
repr reverse reversed rfind rindex rmdir round rpartition rsplit rstrip run schedule search seed seek select
send sendto sep server_hostname set setattr setblocking setdefault setsockopt settimeout sha256 sin sizeof
sleep sleep_ms sleep_us slice socket sort split splitlines sqrt stack_use startswith stat state staticmethod
statvfs stderr stdin stdout step stop str strip struct sub sum super symmetric_difference sys tan task tell
threshold throw ticks_add ticks_cpu ticks_diff ticks_ms ticks_us time time_ns to_bytes trunc tuple type umount
unhexlify uniform union unpack unpack_from unregister update upper value values version_info wait wrap_socket
write writeblocks zip
""".split()
_ARGS = 16  # of these names are for arguments
_BUILTINS = set(dir(builtins)) | {"const"}
# Attributes with a meaning outside of the class that defines them.
PUBLIC = set("version seq header close size etag start readinto readline status block root retries floor".split())


class Names:
    """The names of a core: `symbols` (Symbol -> name), `attributes` (name -> name), and `argument`.

    Args:
        choice (Choice): what there is to name.
    """

    def __init__(self, choice):
        self.choice = choice
        self.outside = (set(choice.roots) | choice.whole) - {ERROR}
        self.nodes = [n for s in sorted(choice.live) for part in self._parts(s) for n in ast.walk(part)]
        self.keywords = {n.arg for n in self.nodes if isinstance(n, ast.keyword)}
        self.texts = {n.value for n in self.nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}
        taken = _BUILTINS | self._identifiers() | {"pi"}  # the tuple of literals
        free = [n for n in FIRMWARE if n not in taken]
        self.arguments, free = free[:_ARGS], free[_ARGS:]
        self.symbols = dict(zip(self._private_symbols(), _endless(free, taken)))
        self.attributes = self._attributes()
        self._name_late()

    def _parts(self, symbol):
        node = self.choice.program.item(symbol)
        dead = set(self.choice.parts[symbol].methods) - self.choice.live[symbol]
        if not isinstance(node, ast.ClassDef):
            return [node]
        return [*node.bases, *(n for n in node.body if getattr(n, "name", "") not in dead)]

    def _identifiers(self):
        found = set(self.texts)
        for node in self.nodes:
            found.update(v for k, v in ast.iter_fields(node) if k in ("id", "arg", "name", "asname") and isinstance(v, str))
        return found

    def _private_symbols(self):
        return [s for s in sorted(self.choice.live) if s not in self.outside and not _is_error(self.choice.program.item(s), s)]

    def _attributes(self):
        used = {n.attr for n in self.nodes if isinstance(n, ast.Attribute)} | self.texts | self.keywords
        ours, others = set(), set(PUBLIC)
        for symbol in self.choice.live:
            node = self.choice.program.item(symbol)
            if isinstance(node, ast.ClassDef):
                public = symbol in self.outside
                for name in [*_defined(node), *self._late(node)]:
                    (others if public and name[0] != "_" or symbol in self.choice.whole else ours).add(name)
        private = {n for n in ours - others - self.texts - self.keywords if n[:2] != "__" and n not in FIRMWARE}
        # A late method has the name of its function, which must not be that of another attribute.
        used |= ours | others | {self.symbols.get(s) for s in self.choice.live if "." in s.name}
        return dict(zip(sorted(private), _endless([n for n in FIRMWARE if n not in used], used)))

    def _late(self, node):
        for name, symbol in (*getattr(node, "late", {}).items(), *getattr(node, "apart", {}).items()):
            if symbol in self.choice.live:
                yield name
                yield from _set_on_self(self.choice.program.item(symbol))

    def _name_late(self):
        # A late method is a function whose name its class looks up.
        for cls in self.choice.live:
            for method, symbol in getattr(self.choice.program.item(cls), "late", {}).items():
                if symbol in self.choice.live and method in self.attributes:
                    self.attributes[method] = self.symbols[symbol]
                elif symbol in self.choice.live:
                    self.symbols[symbol] = method
        for names in (self.symbols, self.attributes):
            assert len(set(names.values())) == len(names), "two things with one name"

    def argument(self, function, is_public, outer):
        """The new names of the arguments of a function: name -> name; none of `outer`, those around it."""
        args = function.args
        if is_public or args.kwarg:
            return {}
        old = [a.arg for a in (*args.args, *filter(None, [args.vararg])) if a.arg not in self.keywords and a.arg != "self"]
        free = [a for a in self.arguments if a not in outer]
        return dict(zip(old, free)) if len(old) <= len(free) else {}


def _is_error(item, symbol):
    return symbol.module == "errors" and isinstance(item, ast.ClassDef)


def _endless(names, taken):
    yield from names
    n = 0
    while True:
        n += 1
        if f"_{n}" not in taken:
            yield f"_{n}"


def _defined(node):
    # What a class gives its objects: methods, values, and what its methods set on self.
    for part in node.body:
        if isinstance(part, FUNCTIONS):
            yield part.name
            yield from _set_on_self(part)
        elif isinstance(part, ast.Assign):
            yield from (t.id for t in part.targets if isinstance(t, ast.Name))


def _set_on_self(function):
    for n in ast.walk(function):
        if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store) and getattr(n.value, "id", "") == "self":
            yield n.attr
