-- Sections: [all], [sqlite], [postgres]. Only bigint and text, so that both engines hold the same values.
-- Times are nanoseconds since 1970.

-- [all]
create table record (
  kind text not null,
  id text not null,
  version bigint not null,
  due_at bigint,
  body text not null,
  primary key (kind, id)
);
create index record_due on record (due_at) where due_at is not null;

create table delivery (
  id text not null primary key,
  key text not null unique,
  subject_kind text not null,
  subject_id text not null,
  channel text not null,
  target text not null,
  payload text not null,
  due_at bigint not null,
  expires_at bigint,
  state text not null,
  attempt bigint not null,
  fence bigint not null,
  lease_until bigint,
  receipt text not null,
  error text not null,
  provider_id text not null
);
create index delivery_state on delivery (state, due_at);
create index delivery_subject on delivery (subject_kind, subject_id);

create table event (
  seq bigint not null primary key,
  at bigint not null,
  subject_kind text not null,
  subject_id text not null,
  kind text not null,
  actor text not null,
  text text not null,
  data text not null
);
create index event_subject on event (subject_kind, subject_id, seq);
create index event_kind on event (kind, seq);

-- The row of a released lease stays: its fence must keep growing.
create table lease (
  name text not null primary key,
  holder text not null,
  fence bigint not null,
  lease_until bigint not null
);

-- Counters. `event` is the seq given last.
create table meta (
  name text not null primary key,
  value bigint not null
);
insert into meta (name, value) values ('event', 0);

-- [sqlite]
create trigger event_no_update before update on event
  begin select raise(abort, 'the timeline is append-only'); end;
create trigger event_no_delete before delete on event
  begin select raise(abort, 'the timeline is append-only'); end;

-- [postgres]
create function event_append_only() returns trigger language plpgsql as $$
  begin raise exception 'the timeline is append-only'; end
$$;
create trigger event_no_change before update or delete on event
  for each row execute function event_append_only();
create trigger event_no_truncate before truncate on event
  for each statement execute function event_append_only();
