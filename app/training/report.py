"""The report of an evaluation as one page of HTML that needs nothing else."""

from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app.training.evaluation import Evaluation

TEMPLATE = "report.html"


def report_page(evaluation: Evaluation, drawn: Mapping[str, str]) -> str:
    """The page; `drawn` are the plots by name, as SVG text."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    images = {name: b64encode(svg.encode()).decode() for name, svg in drawn.items()}
    page: str = environment.get_template(TEMPLATE).render(evaluation=evaluation, images=images)
    return page
