"""The pages of a study: an index that holds everything it shows, and a page per design; they work offline."""

from pathlib import Path

from reports.pages.design import losses, page_designs
from reports.pages.design_page import design_page
from reports.pages.index import index_page
from reports.records import Study
from reports.tables.layers import by_design

INDEX = "index.html"
FOLDER = "designs"


def build_pages(study: Study, home: Path, live: bool = False) -> dict[str, str]:
    """Return the HTML of every page by its path in the report's folder, the index first.

    Args:
        study: the records.
        home: the report's folder; pages link to records relative to it.
        live: whether the pages ask the server that they come from for news.

    Raises:
        ValueError: as `reports.designs.designs`, or a network beside a record is damaged.
    """
    designs, layers = page_designs(study), by_design(study)
    against_float = losses(designs)
    pages = {INDEX: index_page(designs, FOLDER, live)}
    for design in designs:
        table = layers.get((*design.group, design.name))
        pages[f"{FOLDER}/{design.slug}.html"] = design_page(
            design, against_float.get(design.slug), table, home / FOLDER, live
        )
    return pages
