import pytest
import asyncio, pprint, sys
sys.path.insert(0,"/work/main")
from tests.flows.test_rehearsing import *; from tests.flows.test_rehearsing import desk, rehearsal, on_a_tenth
S={"app_store":["buy pro_monthly|cancel|uncancel|upgrade:Pro, yearly|downgrade:Pro, monthly|revert_downgrade",
"buy pro_monthly|cancel|+month|resubscribe:Pro, yearly|extend:7|extend:30",
"buy pro_monthly|raise_price:asked|consent|+month|raise_price:told|+month|raise_price:asked|+month",
"buy pro_monthly|refund:half|reverse_refund|refund:all",
"buy pro_monthly|fail_next_renewal:recovers|+month|+day|+day|+day|fail_next_renewal:recovers_in_grace|+month|+day|+day|+day|+day|+day|+day",
"buy pro_monthly|fail_next_renewal:never|+month|+month|+month",
"buy pro_annual|+day|cancel|+month","buy pro_lifetime|refund:all|reverse_refund"],
"play_store":["buy pro:monthly|cancel|uncancel|cancel|restore|cancel|+month|resubscribe:Pro, yearly",
"buy pro:annual|upgrade:Pro, monthly|downgrade:Pro, yearly|+month",
"buy pro:monthly prepaid|top_up|+month|+month",
"buy pro:monthly|pause:2|resume|pause:1|+month|resume|pause:3|+month|+month|+month|+month",
"buy pro:monthly|pause:2|+month|+month|+month",
"buy pro:monthly|fail_next_renewal:recovers|+month|+day|+day|+day|fail_next_renewal:recovers_in_grace|+month|+day|+day|+day|+day|+day|fail_next_renewal:never|+month|+month|+month",
"buy pro:monthly|refund:money|+month|defer:7|defer:30|refund:revoke",
"buy pro_lifetime|refund:revoke"],
"stripe":["buy prod_pro_annual|cancel|uncancel|cancel|+month",
"buy prod_pro_monthly|upgrade:Pro, yearly|downgrade:Pro, monthly|revert_downgrade|cancel_now",
"buy prod_pro_monthly|set_quantity:5|set_quantity:2|set_quantity:1",
"buy prod_pro_monthly|fail_next_renewal:recovers|+month|+day|+day|+day|+day|fail_next_renewal:never|+month|+month",
"buy prod_pro_monthly|fail_next_renewal:unpaid|+month|+month|pay|fail_next_renewal:past_due|+month|+month|pay",
"buy prod_pro_monthly|pause:void|+month|resume|+month|+day",
"buy prod_pro_monthly|pause:month|+month|+month|+day","buy prod_pro_monthly|pause:keep_as_draft|+month|resume|pause:mark_uncollectible|+month",
"buy prod_pro_monthly|refund:half|refund:all|fail_refund",
"buy prod_pro_lifetime|dispute|close_dispute:won","buy prod_pro_lifetime|dispute|close_dispute:lost","buy prod_pro_lifetime|refund:all"]}
@pytest.mark.parametrize("store",list(S))
async def test_gen(rehearsal,store):
    out=[]
    for n,story in enumerate(S[store]):
        await on_a_tenth(rehearsal)
        told=[]
        for step in story.split("|"):
            told.append((step, await rehearsal.play(f"user{n}",store,step)))
        out.append(told)
    open(f"/tmp/gen_{store}.txt","w").write(pprint.pformat(out,width=148))
