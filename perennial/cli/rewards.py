"""What rewarded ads of an app give."""

from typing import Annotated

import typer

from perennial import rewards
from perennial.base.errors import NotFound
from perennial.cli.desk import Desk, ProjectOption, done, group, show, table, work_in
from perennial.rewards.model import AdReward

commands = group("What rewarded ads give: virtual currencies, or an entitlement for a while.")

AppArgument = Annotated[str, typer.Argument(help="The app's id, as `perennial apps list` shows it")]
ItemArgument = Annotated[str, typer.Argument(help="The reward item, as the ad unit names it")]


@commands.command("list")
def list_rewards(app_id: AppArgument, project: ProjectOption = None) -> None:
    """List what each reward item gives."""

    async def work(desk: Desk) -> None:
        made = table("reward item", "gives", "for")
        for one in await rewards.get_rewards(desk.tx, app_id):
            amount = "as the ad unit says" if one.amount is None else str(one.amount)
            made.add_row(one.reward_item, *((f"{amount} {one.currency_code}", "good") if one.currency_code else (one.lookup_key, one.duration)))
        show(made)

    work_in(project, work)


@commands.command("add")
def add_reward(
    app_id: AppArgument,
    reward_item: ItemArgument,
    currency: Annotated[str | None, typer.Option(help="The code of a virtual currency")] = None,
    amount: Annotated[int | None, typer.Option(min=1, help="How much of it; without it, as much as the ad unit says")] = None,
    entitlement: Annotated[str | None, typer.Option(help="The lookup key of an entitlement")] = None,
    duration: Annotated[str | None, typer.Option(help="How long it lasts: PT1H, P1D")] = None,
    project: ProjectOption = None,
) -> None:
    """Let a reward item give something, beside what it gives already.

    [bold]Example[/bold]

      perennial ad-rewards add app_01J8... coins --currency GLD --amount 5

      perennial ad-rewards add app_01J8... hour --entitlement pro --duration PT1H
    """
    wanted = AdReward(reward_item=reward_item, currency_code=currency, amount=amount, lookup_key=entitlement, duration=duration)

    async def work(desk: Desk) -> None:
        await rewards.set_rewards(desk.tx, app_id, [*await rewards.get_rewards(desk.tx, app_id), wanted])
        await desk.audit("app.put_ad_rewards", app_id)

    work_in(project, work)
    done(f"ads that reward {reward_item} give it from now on")


@commands.command("remove")
def remove_reward(app_id: AppArgument, reward_item: ItemArgument, project: ProjectOption = None) -> None:
    """Let a reward item give nothing any more."""

    async def work(desk: Desk) -> None:
        held = await rewards.get_rewards(desk.tx, app_id)
        kept = [one for one in held if one.reward_item != reward_item]
        if len(kept) == len(held):
            raise NotFound(f"the app has no rewards for {reward_item[:80]!r}", param="reward_item")
        await rewards.set_rewards(desk.tx, app_id, kept)
        await desk.audit("app.put_ad_rewards", app_id)

    work_in(project, work)
    done(f"ads that reward {reward_item} give nothing from now on")
