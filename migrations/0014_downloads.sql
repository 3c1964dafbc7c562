-- The App Store tells which version of an app a customer got first, and when; SDKs read both to know who paid for the app itself.

SET lock_timeout = '5s';

ALTER TABLE customer
  ADD COLUMN download_version text, -- as the store has it: on iOS the build, CFBundleVersion
  ADD COLUMN downloaded_at timestamptz,
  ADD CONSTRAINT customer_download CHECK ((download_version IS NULL) = (downloaded_at IS NULL)) NOT VALID;
ALTER TABLE customer VALIDATE CONSTRAINT customer_download;
