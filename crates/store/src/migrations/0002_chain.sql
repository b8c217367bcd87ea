-- Each event carries a hash over the one before it and itself, so that a row changed by hand is found.
-- Events from before this step have none; the chain begins with the first that has one.

-- [all]
alter table event add column hash text;
