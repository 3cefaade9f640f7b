-- Bytes of the file beside the database that could not be read: entries stood in them that are booked nowhere.
ALTER TABLE unbooked ADD COLUMN damaged_bytes BIGINT NOT NULL DEFAULT 0;
