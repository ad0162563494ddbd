-- What the migrations leave in an empty SQLite file. A new store is made with it, in a tenth of their time.
-- Written by: python -m tests.contracts.store.newest_script --write

CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

CREATE TABLE meta (
	"key" TEXT NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY ("key")
);

CREATE TABLE agents (
	id TEXT NOT NULL, 
	slug TEXT NOT NULL, 
	name TEXT NOT NULL, 
	labels TEXT NOT NULL, 
	annotations TEXT NOT NULL, 
	description TEXT NOT NULL, 
	instructions TEXT NOT NULL, 
	model TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, document TEXT, 
	PRIMARY KEY (id)
);

CREATE UNIQUE INDEX ux_agents_slug ON agents (slug);

CREATE TABLE executions (
	id TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	agent_id TEXT NOT NULL, 
	agent_name TEXT NOT NULL, 
	message TEXT NOT NULL, 
	timeout_s DOUBLE, 
	labels TEXT NOT NULL, 
	phase TEXT NOT NULL, 
	epoch INTEGER NOT NULL, 
	version INTEGER NOT NULL, 
	event_seq INTEGER NOT NULL, 
	created_at BIGINT NOT NULL, 
	started_at BIGINT, 
	completed_at BIGINT, 
	queue_reason TEXT NOT NULL, 
	queue_detail TEXT NOT NULL, 
	queued_since BIGINT NOT NULL, 
	attempts INTEGER NOT NULL, 
	next_try_at BIGINT, 
	submitted_at BIGINT, 
	run_id TEXT, 
	world TEXT, 
	claimed_run TEXT, 
	claimed_by TEXT, 
	claimed_attempt INTEGER NOT NULL, 
	cancel_requested_at BIGINT, 
	attention_code TEXT, 
	attention_reason TEXT, 
	attention_since BIGINT, 
	output TEXT, 
	error TEXT, 
	idempotency_key TEXT, 
	request_hash TEXT NOT NULL, store_id TEXT, usage TEXT, answer_seq INTEGER, agent_version TEXT, session TEXT, session_seq INTEGER, conversation TEXT, waiting_for TEXT, waiting_step TEXT, waiting_since BIGINT, waiting_until BIGINT, waiting_cause TEXT, follow_up TEXT, error_fields TEXT, began_ms BIGINT, began_version TEXT, parent TEXT, call_generations TEXT, 
	PRIMARY KEY (id), 
	CONSTRAINT ck_executions_phase CHECK (phase IN ('PENDING', 'IN_PROGRESS', 'COMPLETED', 'FAILED', 'CANCELLED')), 
	CONSTRAINT ck_executions_kind CHECK (kind IN ('agent', 'workflow')), 
	CONSTRAINT ck_executions_pending_is_unclaimed CHECK (phase <> 'PENDING' OR claimed_run IS NULL), 
	CONSTRAINT ck_executions_in_progress_is_claimed CHECK (phase <> 'IN_PROGRESS' OR claimed_run IS NOT NULL)
);

CREATE UNIQUE INDEX ux_executions_idempotency_key ON executions (idempotency_key);

CREATE INDEX ix_executions_created ON executions (created_at, id);

CREATE INDEX ix_executions_phase ON executions (phase, created_at, id);

CREATE INDEX ix_executions_agent ON executions (agent_id, phase, created_at, id);

CREATE INDEX ix_executions_queue ON executions (created_at, id, next_try_at) WHERE phase = 'PENDING' AND submitted_at IS NULL AND attention_code IS NULL;

CREATE INDEX ix_executions_next_try ON executions (next_try_at) WHERE phase = 'PENDING' AND submitted_at IS NULL AND attention_code IS NULL;

CREATE INDEX ix_executions_open ON executions (id) WHERE phase IN ('PENDING', 'IN_PROGRESS');

CREATE INDEX ix_executions_cancel ON executions (cancel_requested_at, id) WHERE cancel_requested_at IS NOT NULL AND phase IN ('PENDING', 'IN_PROGRESS');

CREATE INDEX ix_executions_attention ON executions (created_at, id) WHERE attention_code IS NOT NULL;

CREATE TABLE events (
	execution_id TEXT NOT NULL, 
	seq INTEGER NOT NULL, 
	at BIGINT NOT NULL, 
	type TEXT NOT NULL, 
	text TEXT NOT NULL, 
	data TEXT NOT NULL, 
	CONSTRAINT pk_events PRIMARY KEY (execution_id, seq)
);

CREATE INDEX ix_executions_legacy ON executions (id) WHERE store_id IS NULL AND phase IN ('PENDING', 'IN_PROGRESS');

CREATE TABLE servers (
	id TEXT NOT NULL, 
	version TEXT NOT NULL, 
	host TEXT NOT NULL, 
	pid INTEGER NOT NULL, 
	address TEXT NOT NULL, 
	world TEXT, 
	world_since BIGINT, 
	seen_at BIGINT NOT NULL, 
	PRIMARY KEY (id)
);

CREATE TABLE execution_labels (
	label TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	execution_id TEXT NOT NULL, 
	CONSTRAINT pk_execution_labels PRIMARY KEY (label, created_at, execution_id)
)
 WITHOUT ROWID

;

CREATE TABLE execution_numbers (number INTEGER PRIMARY KEY, execution_id TEXT NOT NULL);

CREATE VIEW searched_texts AS
        SELECT number, (substr(executions.message, 1, 100000) || char(10) || coalesce(substr(executions.output, 1, 100000), '') || char(10) || coalesce(substr(executions.error, 1, 100000), '')) AS text FROM execution_numbers JOIN executions ON id = execution_id;

CREATE VIRTUAL TABLE execution_texts USING fts5(
            text, content='searched_texts', content_rowid='number',
            tokenize='unicode61 remove_diacritics 0', columnsize=0
        );

CREATE TRIGGER executions_text_added AFTER INSERT ON executions
        BEGIN INSERT INTO execution_numbers (number, execution_id) SELECT coalesce(max(number) + 1, min(new.created_at, 4503599627370494) * 2048), new.id FROM execution_numbers WHERE number BETWEEN min(new.created_at, 4503599627370494) * 2048 AND min(new.created_at, 4503599627370494) * 2048 + 2047; INSERT INTO execution_texts (rowid, text) SELECT number, (substr(new.message, 1, 100000) || char(10) || coalesce(substr(new.output, 1, 100000), '') || char(10) || coalesce(substr(new.error, 1, 100000), '')) FROM execution_numbers WHERE number BETWEEN min(new.created_at, 4503599627370494) * 2048 AND min(new.created_at, 4503599627370494) * 2048 + 2047 AND execution_id = new.id; END;

CREATE TRIGGER executions_text_changed AFTER UPDATE OF message, output, error ON executions
        WHEN (substr(old.message, 1, 100000) || char(10) || coalesce(substr(old.output, 1, 100000), '') || char(10) || coalesce(substr(old.error, 1, 100000), '')) <> (substr(new.message, 1, 100000) || char(10) || coalesce(substr(new.output, 1, 100000), '') || char(10) || coalesce(substr(new.error, 1, 100000), '')) BEGIN INSERT INTO execution_texts (execution_texts, rowid, text) SELECT 'delete', number, (substr(old.message, 1, 100000) || char(10) || coalesce(substr(old.output, 1, 100000), '') || char(10) || coalesce(substr(old.error, 1, 100000), '')) FROM execution_numbers WHERE number BETWEEN min(old.created_at, 4503599627370494) * 2048 AND min(old.created_at, 4503599627370494) * 2048 + 2047 AND execution_id = old.id; INSERT INTO execution_texts (rowid, text) SELECT number, (substr(new.message, 1, 100000) || char(10) || coalesce(substr(new.output, 1, 100000), '') || char(10) || coalesce(substr(new.error, 1, 100000), '')) FROM execution_numbers WHERE number BETWEEN min(new.created_at, 4503599627370494) * 2048 AND min(new.created_at, 4503599627370494) * 2048 + 2047 AND execution_id = new.id; END;

CREATE TRIGGER executions_text_removed AFTER DELETE ON executions
        BEGIN INSERT INTO execution_texts (execution_texts, rowid, text) SELECT 'delete', number, (substr(old.message, 1, 100000) || char(10) || coalesce(substr(old.output, 1, 100000), '') || char(10) || coalesce(substr(old.error, 1, 100000), '')) FROM execution_numbers WHERE number BETWEEN min(old.created_at, 4503599627370494) * 2048 AND min(old.created_at, 4503599627370494) * 2048 + 2047 AND execution_id = old.id; DELETE FROM execution_numbers WHERE number BETWEEN min(old.created_at, 4503599627370494) * 2048 AND min(old.created_at, 4503599627370494) * 2048 + 2047 AND execution_id = old.id; END;

CREATE TABLE execution_counts (
	agent_id TEXT NOT NULL, 
	phase TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	writer INTEGER NOT NULL, 
	number BIGINT NOT NULL, 
	CONSTRAINT pk_execution_counts PRIMARY KEY (agent_id, phase, kind, writer)
)
 WITHOUT ROWID

;

CREATE TRIGGER executions_counted_added AFTER INSERT ON executions BEGIN INSERT INTO execution_counts (agent_id, phase, kind, writer, number) VALUES (new.agent_id, new.phase, new.kind, 0, 1) ON CONFLICT (agent_id, phase, kind, writer) DO UPDATE SET number = execution_counts.number + excluded.number; END;

CREATE TRIGGER executions_counted_moved AFTER UPDATE OF agent_id, phase, kind ON executions
        WHEN old.phase <> new.phase OR old.agent_id <> new.agent_id OR old.kind <> new.kind
        BEGIN INSERT INTO execution_counts (agent_id, phase, kind, writer, number) VALUES (old.agent_id, old.phase, old.kind, 0, -1) ON CONFLICT (agent_id, phase, kind, writer) DO UPDATE SET number = execution_counts.number + excluded.number; INSERT INTO execution_counts (agent_id, phase, kind, writer, number) VALUES (new.agent_id, new.phase, new.kind, 0, 1) ON CONFLICT (agent_id, phase, kind, writer) DO UPDATE SET number = execution_counts.number + excluded.number; END;

CREATE TRIGGER executions_counted_removed AFTER DELETE ON executions BEGIN INSERT INTO execution_counts (agent_id, phase, kind, writer, number) VALUES (old.agent_id, old.phase, old.kind, 0, -1) ON CONFLICT (agent_id, phase, kind, writer) DO UPDATE SET number = execution_counts.number + excluded.number; END;

CREATE TABLE steps (
	execution_id TEXT NOT NULL, 
	seq INTEGER NOT NULL, 
	"key" TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	name TEXT NOT NULL, 
	effect TEXT NOT NULL, 
	state TEXT NOT NULL, 
	attempts INTEGER NOT NULL, 
	started_at BIGINT NOT NULL, 
	completed_at BIGINT, 
	error TEXT, 
	usage TEXT, 
	epoch INTEGER NOT NULL, 
	run TEXT NOT NULL, 
	attempt INTEGER NOT NULL, 
	runner TEXT NOT NULL, 
	nonce TEXT NOT NULL, 
	input_hash TEXT NOT NULL, 
	result_bytes INTEGER NOT NULL, 
	is_outcome BOOLEAN NOT NULL, 
	CONSTRAINT pk_steps PRIMARY KEY (execution_id, seq)
);

CREATE UNIQUE INDEX ux_steps_key ON steps (execution_id, "key");

CREATE INDEX ix_steps_in_the_air ON steps (execution_id, seq) WHERE (state = 'UNKNOWN' OR (state = 'BEGUN' AND effect = 'once'));

CREATE TABLE step_contents (
	execution_id TEXT NOT NULL, 
	seq INTEGER NOT NULL, 
	part TEXT NOT NULL, 
	text TEXT NOT NULL, 
	CONSTRAINT pk_step_contents PRIMARY KEY (execution_id, seq, part)
);

CREATE TABLE secrets (
	name TEXT NOT NULL, 
	sealed TEXT NOT NULL, 
	key_id TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, 
	PRIMARY KEY (name)
);

CREATE TABLE agent_versions (
	id TEXT NOT NULL, 
	agent_id TEXT NOT NULL, 
	instructions TEXT NOT NULL, 
	model TEXT NOT NULL, 
	document TEXT NOT NULL, 
	PRIMARY KEY (id)
);

CREATE UNIQUE INDEX ux_executions_session ON executions (session, session_seq) WHERE session IS NOT NULL;

CREATE INDEX ix_executions_session_open ON executions (session, session_seq) WHERE session IS NOT NULL AND phase IN ('PENDING', 'IN_PROGRESS');

CREATE TABLE sessions (
	name TEXT NOT NULL, 
	agent_name TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, 
	last_seq INTEGER NOT NULL, 
	PRIMARY KEY (name)
);

CREATE INDEX ix_sessions_updated ON sessions (updated_at, name);

CREATE INDEX ix_executions_waiting ON executions (created_at, id) WHERE waiting_for IS NOT NULL;

CREATE INDEX ix_executions_wakes ON executions (waiting_until, id) WHERE waiting_until IS NOT NULL;

CREATE TABLE decisions (
	execution_id TEXT NOT NULL, 
	step TEXT NOT NULL, 
	place INTEGER NOT NULL, 
	tool TEXT NOT NULL, 
	arguments_hash TEXT NOT NULL, 
	arguments TEXT, 
	asked_at BIGINT NOT NULL, 
	verdict TEXT, 
	reason TEXT, 
	new_arguments TEXT, 
	decided_at BIGINT, 
	CONSTRAINT pk_decisions PRIMARY KEY (execution_id, step)
);

CREATE TABLE workflows (
	id TEXT NOT NULL, 
	namespace TEXT NOT NULL, 
	name TEXT NOT NULL, 
	version TEXT NOT NULL, 
	labels TEXT NOT NULL, 
	annotations TEXT NOT NULL, 
	version_id TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, 
	PRIMARY KEY (id)
);

CREATE UNIQUE INDEX ux_workflows_name ON workflows (name, namespace);

CREATE TABLE workflow_versions (
	id TEXT NOT NULL, 
	workflow_id TEXT NOT NULL, 
	document TEXT NOT NULL, 
	PRIMARY KEY (id)
);

CREATE TABLE tasks (
	execution_id TEXT NOT NULL, 
	seq INTEGER NOT NULL, 
	"key" TEXT NOT NULL, 
	name TEXT NOT NULL, 
	phase TEXT NOT NULL, 
	attempts INTEGER NOT NULL, 
	started_at BIGINT NOT NULL, 
	completed_at BIGINT, 
	error TEXT, 
	CONSTRAINT pk_tasks PRIMARY KEY (execution_id, seq)
);

CREATE UNIQUE INDEX ux_tasks_key ON tasks (execution_id, "key");

CREATE TABLE event_counter (
	id INTEGER NOT NULL, 
	seq BIGINT NOT NULL, 
	bytes BIGINT NOT NULL, 
	PRIMARY KEY (id)
);

CREATE TABLE cloud_events (
	seq BIGINT NOT NULL, 
	identity TEXT NOT NULL, 
	type TEXT NOT NULL, 
	source TEXT NOT NULL, 
	bytes INTEGER NOT NULL, 
	received_at BIGINT NOT NULL, 
	event TEXT NOT NULL, 
	PRIMARY KEY (seq)
);

CREATE UNIQUE INDEX ux_cloud_events_identity ON cloud_events (identity);

CREATE INDEX ix_cloud_events_type ON cloud_events (type, seq);

CREATE INDEX ix_cloud_events_received ON cloud_events (received_at, seq);

CREATE TABLE listeners (
	execution_id TEXT NOT NULL, 
	place INTEGER NOT NULL, 
	epoch INTEGER NOT NULL, 
	type TEXT NOT NULL, 
	source TEXT, 
	subject TEXT, 
	places TEXT NOT NULL, 
	texts_hash TEXT NOT NULL, 
	CONSTRAINT pk_listeners PRIMARY KEY (execution_id, place)
);

CREATE INDEX ix_listeners_type ON listeners (type, places, texts_hash);

CREATE TABLE schedules (
	workflow_id TEXT NOT NULL, 
	"trigger" TEXT NOT NULL, 
	spec TEXT NOT NULL, 
	anchor_at BIGINT NOT NULL, 
	is_paused BOOLEAN NOT NULL, 
	next_at BIGINT, 
	last_at BIGINT, 
	last_execution TEXT, 
	missed INTEGER NOT NULL, 
	CONSTRAINT pk_schedules PRIMARY KEY (workflow_id, "trigger")
);

CREATE INDEX ix_schedules_next ON schedules (next_at);

CREATE INDEX ix_executions_parent ON executions (parent, id) WHERE parent IS NOT NULL AND phase IN ('PENDING', 'IN_PROGRESS');

INSERT INTO alembic_version (version_num) VALUES ('0017');
