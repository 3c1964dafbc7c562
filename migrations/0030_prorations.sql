-- A charge within a running period is told from a new period, and a line keeps the store's own word of when it was first bought.

SET lock_timeout = '5s';

-- Nullable: the version that runs beside this one writes rows without them. Null means no.
ALTER TABLE purchase ADD COLUMN is_proration boolean;
-- Of the full price of what its period sells, in millionths; null: the store did not say. A renewal with prorations on its invoice charges more than one.
ALTER TABLE purchase ADD COLUMN charged_ppm bigint CHECK (charged_ppm >= 0);
ALTER TABLE line ADD COLUMN original_purchased_at timestamptz;
