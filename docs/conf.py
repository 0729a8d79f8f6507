"""How `make docs` builds the documentation site: Sphinx, with Markdown by MyST.

A dead link, a dead anchor and a page that has no place in the navigation are errors there.
"""

project = "mpota"
html_title = "mpota"
extensions = ["myst_parser"]
exclude_patterns = []
source_suffix = {".md": "markdown"}
root_doc = "index"
html_theme = "furo"
html_show_copyright = False
html_copy_source = False
myst_heading_anchors = 3  # so that `page.md#a-heading` is checked
# Blocks are highlighted as what they say they are, as far as that goes: JSON Lines are not one JSON value.
suppress_warnings = ["misc.highlighting_failure"]

# Kept out of index.md, so that the page reads well where it is not built.
NAVIGATION = {
    "Tutorial": ["tutorial/first-board"],
    "How-to": [
        "how-to/sign-releases",
        "how-to/tuf",
        "how-to/https",
        "how-to/web-servers",
        "how-to/watch-for-updates",
        "how-to/keep-it-running",
        "how-to/small-boards",
        "how-to/freeze-the-library",
        "how-to/write-a-transport",
        "how-to/test-without-hardware",
        "how-to/leave-micropython-ota",
    ],
    "Reference": ["reference/library", "reference/cli", "reference/formats", "reference/glossary"],
    "Explanation": [
        "explanation/architecture",
        "explanation/install",
        "explanation/what-travels",
        "explanation/threats",
        "explanation/choose",
        "explanation/benchmark",
        "explanation/heap",
        "explanation/fuzzing",
    ],
    "Decisions": ["decisions/*"],
}


def add_navigation(app, page, text):
    if page == root_doc:
        for title, pages in NAVIGATION.items():
            options = [f":caption: {title}", ":hidden:", ":maxdepth: 1", ":glob:"]
            text[0] += "\n".join(["\n```{toctree}", *options, "", *pages, "```", ""])


def setup(app):
    app.connect("source-read", add_navigation)
