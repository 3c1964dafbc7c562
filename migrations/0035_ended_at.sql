-- A store may say of a line that it ended at a moment, before what was paid for was over: that moment is kept beside the reason.
SET lock_timeout = '5s';
ALTER TABLE renewal ADD COLUMN ended_at timestamptz;
