-- A customer may change the plan of a subscription at a store: one more act.

SET lock_timeout = '5s';

ALTER TABLE store_act DROP CONSTRAINT store_act_kind_check;
ALTER TABLE store_act ADD CONSTRAINT store_act_kind_check CHECK (kind IN ('acknowledge', 'cancel', 'refund', 'revoke', 'extend', 'defer', 'change')) NOT VALID;
ALTER TABLE store_act VALIDATE CONSTRAINT store_act_kind_check;
