"""ContextCache in the table customer_info, and beside it for ids that do not fit there."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from app.adapters.postgres.database import Database
from app.adapters.postgres.queries import load_queries
from app.adapters.rows import context_from_row
from app.domain.customer import CustomerContext
from app.ports import CachedContext

INT_MAX = 2**31 - 1
INT_MIN = -(2**31)
REAL_MAX = 3.4e38


class PostgresCache:
    """The customers of customer_info, and those with text ids in customer_info_text.

    Fields that the tables leave empty take the value of `defaults`.
    """

    def __init__(self, database: Database, defaults: CustomerContext) -> None:
        self._database = database
        self._defaults = defaults
        self._sql = load_queries("queries.sql")

    async def read(self, customer_ids: Sequence[str]) -> Mapping[str, CachedContext]:
        """See ContextCache."""
        numbers = [int(key) for key in customer_ids if fits_int(key)]
        texts = [key for key in customer_ids if not fits_int(key)]
        async with self._database.connection() as connection:
            rows = await connection.fetch(self._sql["read_contexts"], numbers, texts)
        return {
            row["customer_id"]: CachedContext(context_from_row(row, self._defaults), row["fetched_at"]) for row in rows
        }

    async def write(self, contexts: Sequence[CustomerContext], fetched_at: datetime) -> None:
        """See ContextCache."""
        in_order = sorted(contexts, key=lambda context: context.customer_id)
        numbered = [context for context in in_order if fits_int(context.customer_id)]
        texts = [context for context in in_order if not fits_int(context.customer_id)]
        async with self._database.connection() as connection:
            if numbered:
                ids: Sequence[object] = [int(context.customer_id) for context in numbered]
                await connection.execute(self._sql["write_contexts"], ids, *_columns(numbered), fetched_at)
            if texts:
                ids = [context.customer_id for context in texts]
                await connection.execute(self._sql["write_text_contexts"], ids, *_columns(texts), fetched_at)


def fits_int(customer_id: str) -> bool:
    """Whether the id is a number as the table would print it: '7', but not '007', which is another customer."""
    digits = customer_id.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 10):
        return False
    return str(int(customer_id)) == customer_id and INT_MIN <= int(customer_id) <= INT_MAX


def _columns(contexts: Sequence[CustomerContext]) -> list[list[object]]:
    return [
        [context.gender.value for context in contexts],
        [context.age for context in contexts],
        [min(context.mean_buy_price, REAL_MAX) for context in contexts],
        [context.total_coupons_used for context in contexts],
        [min(context.mean_discount_received, REAL_MAX) for context in contexts],
        [context.unique_products_bought for context in contexts],
        [context.unique_products_bought_with_coupons for context in contexts],
        [context.total_items_bought for context in contexts],
    ]
