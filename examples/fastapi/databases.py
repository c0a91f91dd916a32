"""The databases: one, which PGHOST, PGDATABASE and their like name; or several: a proxy, which they
name then, and behind it home and the shards, which SHARDS names, home first, by URIs with spaces
between them.  doc/scale-out.md has the rest."""
import contextlib
import os

import asyncpg

SHARDS = os.environ.get('SHARDS', '').split()


def listened_to():
    """Connection strings of all that have groups; None is what PGHOST and the others name."""
    return SHARDS or [None]


@contextlib.asynccontextmanager
async def pools(**options):
    """Two: of where chatrel's functions are called, and of where the application's tables are."""
    async with asyncpg.create_pool(**options) as pool:
        if not SHARDS:
            yield pool, pool
            return
        async with asyncpg.create_pool(SHARDS[0], **options) as home:
            yield pool, home
