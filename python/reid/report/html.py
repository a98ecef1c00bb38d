"""HTML, written element by element, and the page around it: one file, no network, its own style sheet."""

import base64
from html import escape
from pathlib import Path

STYLE = Path(__file__).with_name("report.css")


class Html(str):
    """Text that is HTML already."""


def tag(name: str, /, *children: object, **attributes: object) -> Html:
    """An element. Children that are no Html are escaped, None is left out; `_` in attributes is `-`.

    An attribute of None or False is left out, one of True has no value; `class_` and `for_` lose their end.

    >>> tag("p", "a < b", tag("br"), class_="note", hidden=True)
    '<p class="note" hidden>a &lt; b<br></p>'
    """
    given = "".join(f" {key.rstrip('_').replace('_', '-')}"
                    + ("" if value is True else f'="{escape(str(value))}"')
                    for key, value in attributes.items() if value is not None and value is not False)
    inner = join(*children)
    end = "" if name in ("br", "img", "meta") else f"</{name}>"
    return Html(f"<{name}{given}>{inner}{end}")


def join(*children: object) -> Html:
    """Several pieces as one. Bytes of a file's name that are not UTF-8 are shown as escapes."""
    return Html("".join(child if isinstance(child, Html)
                        else escape(str(child).encode(errors="backslashreplace").decode())
                        for child in children if child is not None))


def hidden(text: str) -> Html:
    """Text for screen readers alone."""
    return tag("span", text, class_="hidden")


def scrolled(label: str, *children: object) -> Html:
    """A box that scrolls sideways on narrow screens, by keyboard too; label: what is in it."""
    return tag("div", *children, class_="scroll", role="region", aria_label=label, tabindex=0)


def picture(jpeg: bytes, alternative: str) -> Html:
    """A picture within the page."""
    return tag("img", src="data:image/jpeg;base64," + base64.b64encode(jpeg).decode(), alt=alternative)


def page(title: str, contents: list[tuple[str, str]], *body: object) -> str:
    """A whole page. contents: (id, title) of the sections that its list of contents names."""
    links = [tag("li", tag("a", text, href=f"#{place}")) for place, text in contents]
    navigation = tag("nav", tag("ul", *links), aria_label="Contents") if links else None
    head = join(tag("meta", charset="utf-8"), tag("title", title),
                tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
                tag("meta", name="color-scheme", content="light dark"),
                tag("style", Html(STYLE.read_text())))
    skip = tag("a", "Skip to the content", href="#content", class_="skip")
    inner = tag("body", skip, tag("header", tag("h1", title), navigation),
                tag("main", *body, id="content", tabindex=-1))
    whole = f"<!DOCTYPE html>\n{tag('html', tag('head', head), inner, lang='en')}\n"
    return whole.replace("></section><", ">\n</section>\n<")
