-- Why an attempt went to its account and with its key: `cache 1/3, idle 1/2` is the first of three accounts that could be
-- used, for the prompt in its cache, and of its two keys the one with the fewest requests under way. Null: written before.
ALTER TABLE entries ADD COLUMN chosen TEXT;
