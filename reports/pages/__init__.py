"""The pages of a study: an index that holds everything it shows, and a page per design; they work offline."""

from collections.abc import Sequence
from pathlib import Path

from reports.pages.design import losses, page_designs
from reports.pages.design_page import design_page
from reports.pages.index import Download, index_page
from reports.records import Study
from reports.tables.layers import by_design

__all__ = ["FOLDER", "INDEX", "Download", "build_pages"]

INDEX = "index.html"
FOLDER = "designs"


def build_pages(study: Study, home: Path, live: bool = False, downloads: Sequence[Download] = ()) -> dict[str, str]:
    """Return the HTML of every page by its path in the report's folder, the index first.

    Args:
        study: the records.
        home: the report's folder; pages link to records relative to it.
        live: whether the pages ask the server that they come from for news.
        downloads: figures and tables in the report's folder, which the index links to.

    Raises:
        ValueError: as `reports.designs.designs`, or a network beside a record is damaged or of another
            design.
    """
    designs, layers = page_designs(study), by_design(study)
    against_float = losses(designs)
    pages = {INDEX: index_page(designs, FOLDER, live, downloads)}
    for design in designs:
        table = layers.get((*design.group, design.name))
        pages[f"{FOLDER}/{design.slug}.html"] = design_page(
            design, against_float.get(design.slug), table, home / FOLDER, live
        )
    return pages
