"""Grammars by language, and which syntax nodes name a part of a file."""

import re
import threading
import time
from functools import cache
from importlib import import_module

from tree_sitter import Language, Node, Parser, Tree

# language: (module, function)
_GRAMMARS = {
    "bash": ("tree_sitter_bash", "language"),
    "c": ("tree_sitter_c", "language"),
    "c_sharp": ("tree_sitter_c_sharp", "language"),
    "cpp": ("tree_sitter_cpp", "language"),
    "css": ("tree_sitter_css", "language"),
    "go": ("tree_sitter_go", "language"),
    "html": ("tree_sitter_html", "language"),
    "java": ("tree_sitter_java", "language"),
    "javascript": ("tree_sitter_javascript", "language"),
    "json": ("tree_sitter_json", "language"),
    "markdown": ("tree_sitter_markdown", "language"),
    "php": ("tree_sitter_php", "language_php"),
    "python": ("tree_sitter_python", "language"),
    "ruby": ("tree_sitter_ruby", "language"),
    "rust": ("tree_sitter_rust", "language"),
    "sql": ("tree_sitter_sql", "language"),
    "toml": ("tree_sitter_toml", "language"),
    "tsx": ("tree_sitter_typescript", "language_tsx"),
    "typescript": ("tree_sitter_typescript", "language_typescript"),
    "yaml": ("tree_sitter_yaml", "language"),
}
PARSED_LANGUAGES = frozenset(_GRAMMARS)

# Nodes that give what they hold a name, in any of the grammars above.
_DEFINITIONS = frozenset(
    """
    class_definition function_definition
    class_declaration function_declaration generator_function_declaration
    method_definition abstract_class_declaration interface_declaration enum_declaration
    type_alias_declaration internal_module module variable_declarator
    method_declaration type_spec
    function_item struct_item enum_item trait_item impl_item mod_item union_item
    macro_definition function_signature_item
    constructor_declaration record_declaration annotation_type_declaration
    struct_specifier class_specifier enum_specifier union_specifier
    namespace_definition preproc_function_def concept_definition
    namespace_declaration struct_declaration property_declaration delegate_declaration
    record_struct_declaration
    class method singleton_method
    trait_declaration
    create_table create_view create_function create_index create_trigger create_type
    rule_set section table table_array_element pair block_mapping_pair
    """.split()
)
# Nodes around one definition, which say nothing themselves.
_WRAPPERS = frozenset(
    """
    decorated_definition export_statement lexical_declaration variable_declaration
    type_declaration template_declaration statement expression_statement
    declaration type_definition
    """.split()
)
# Nodes that belong to what follows them.
_PRELUDES = frozenset(
    "comment line_comment block_comment doc_comment attribute_item attribute "
    "decorator attribute_list marker_annotation annotation".split()
)
_NAME_FIELDS = ("name", "declarator", "type", "key")
_NAME_KINDS = frozenset(
    "identifier type_identifier field_identifier qualified_identifier selectors "
    "atx_heading setext_heading dotted_key bare_key quoted_key object_reference".split()
)
# `(t *Tree[K])`, `(Tree)`: the last name before type parameters.
_RECEIVER = re.compile(r"(\w+)\s*(?:\[[^()]*\])?\s*\)$")
_MAX_NAME = 80
_MAX_SECONDS = 5.0
_READ_BYTES = 65_536
_local = threading.local()


def parse(language: str, data: bytes) -> Tree | None:
    """Parse, or return None where there is no grammar or it takes too long."""
    if language not in _GRAMMARS:
        return None
    give_up_at = time.monotonic() + _MAX_SECONDS

    def read(offset: int, _: object) -> bytes:
        # An unread rest ends the parse soon, whatever the grammar is busy with.
        if time.monotonic() > give_up_at:
            return b""
        return data[offset : offset + _READ_BYTES]

    def is_late(_offset: int, _has_error: bool) -> bool:
        return time.monotonic() > give_up_at

    parser = _parser(language)
    try:
        tree = parser.parse(read, progress_callback=is_late)
    except ValueError:
        tree = None
    if tree is None or time.monotonic() > give_up_at:
        parser.reset()
        return None
    return tree


def is_prelude(node: Node) -> bool:
    """Tell whether the node (a comment, a decorator) belongs to the next one."""
    return node.type in _PRELUDES


def is_wrapper(node: Node) -> bool:
    """Tell whether the node only stands around one definition."""
    return node.type in _WRAPPERS


def name_of(node: Node) -> str:
    """Return the name that a definition gives, "" for every other node."""
    definition = definition_in(node)
    return "" if definition is None else _own_name(definition)


def definition_in(node: Node) -> Node | None:
    """Return the node's definition: itself, or the one that it stands around."""
    for _ in range(4):
        if node.type in _DEFINITIONS:
            return node
        if node.type not in _WRAPPERS:
            return None
        inner = [n for n in node.named_children if _may_define(n)]
        if not inner:
            return None
        node = inner[0]
    return None


def _may_define(node: Node) -> bool:
    return node.type in _DEFINITIONS or node.type in _WRAPPERS


def _own_name(node: Node) -> str:
    for name in _NAME_FIELDS:
        found = node.child_by_field_name(name)
        if found is not None:
            own = _clean(_innermost_declarator(found))
            return ".".join(filter(None, (_receiver_of(node), own)))
    for child in node.named_children[:4]:
        if child.type in _NAME_KINDS:
            return _clean(child)
    return ""


def _receiver_of(node: Node) -> str:
    """Return the type whose method Go defines: `func (t *Tree) Add` → "Tree"."""
    receiver = node.child_by_field_name("receiver")
    if node.type != "method_declaration" or receiver is None:
        return ""
    found = _RECEIVER.search((receiver.text or b"").decode("utf-8", "replace"))
    return found.group(1)[:_MAX_NAME] if found else ""


def _innermost_declarator(node: Node) -> Node:
    """In C a name lies inside its pointers, arrays and parameter list."""
    for _ in range(8):
        inner = node.child_by_field_name("declarator")
        if inner is None:
            break
        node = inner
    return node


def _clean(node: Node) -> str:
    text = (node.text or b"")[: 4 * _MAX_NAME].decode("utf-8", "replace")
    line = text.strip().split("\n")[0]
    return line.strip("#\"' \t\r=:").replace("::", ".")[:_MAX_NAME]


def _parser(language: str) -> Parser:
    """Return this thread's parser: a parser holds the state of one parse."""
    parsers: dict[str, Parser] = _local.__dict__.setdefault("parsers", {})
    if language not in parsers:
        parsers[language] = Parser(_language(language))
    return parsers[language]


@cache
def _language(language: str) -> Language:
    module, function = _GRAMMARS[language]
    return Language(getattr(import_module(module), function)())
