"""The tables of the papers, with what was measured here beside them."""

from reports.tables.paper.layout import PaperView, paper_view
from reports.tables.paper.render import FORMATS, render_paper

__all__ = ["FORMATS", "PaperView", "paper_view", "render_paper"]
