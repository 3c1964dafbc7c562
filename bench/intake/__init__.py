"""Notifications of stores: taken in (checked, kept, committed), and digested (read, asked about, checked, recorded, told)."""

from rich.progress import Progress

from bench.house import House
from bench.intake import app_store, stores
from bench.intake.kits import KITS
from bench.report import Figure


async def run(house: House, progress: Progress, customers: int) -> list[Figure]:
    task = progress.add_task("notifications: app_store", total=2 + len(KITS))
    figures = await app_store.run(house)
    for store in KITS:
        progress.update(task, description=f"notifications: {store}", advance=1)
        figures += await stores.run(house, store)
    progress.update(task, description="questions: microsoft", advance=1)
    figures += await stores.run_microsoft(house)
    progress.remove_task(task)
    return figures
