-- The request log: by month, on the time inside the id, so that the key stays one column.

CREATE TABLE billing_request (
    id uuid PRIMARY KEY,
    paywall_id uuid NOT NULL,
    livemode boolean NOT NULL,
    user_id uuid NOT NULL,
    key_id uuid,
    status varchar(16) NOT NULL,
    policy varchar(32) NOT NULL,
    model varchar(300) NOT NULL,
    connection_id uuid,
    rate_id uuid,
    feature varchar(128) NOT NULL,
    run varchar(128) NOT NULL,
    streamed boolean NOT NULL,
    http_status smallint NOT NULL,
    error_code varchar(64) NOT NULL,
    usage jsonb NOT NULL,
    usage_source varchar(16) NOT NULL,
    charged bigint NOT NULL,
    written_off bigint NOT NULL,
    provider_cost bigint NOT NULL,
    transaction_id uuid,
    first_byte_ms integer,
    duration_ms integer NOT NULL,
    attempts jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL
) PARTITION BY RANGE (id);
CREATE INDEX request_of_paywall ON billing_request (paywall_id, id);
CREATE INDEX request_of_user ON billing_request (user_id, id);
CREATE TABLE billing_request_default PARTITION OF billing_request DEFAULT;

-- The least UUIDv7 of a moment.
CREATE FUNCTION billing_uuid_floor(p_at timestamptz) RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM p_at) * 1000)::bigint), 12, '0')
        || '00000000000000000000')::uuid
$$;

-- Partitions for this month and p_ahead more. Returns the names of those it made.
CREATE FUNCTION billing_partitions_ensure(p_ahead integer) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    v_month timestamptz;
    v_name text;
BEGIN
    FOR v_step IN -1 .. p_ahead LOOP
        v_month := date_trunc('month', clock_timestamp()) + make_interval(months => v_step);
        v_name := 'billing_request_' || to_char(v_month, 'YYYY_MM');
        IF to_regclass(v_name) IS NULL THEN
            EXECUTE format('CREATE TABLE %I PARTITION OF billing_request FOR VALUES FROM (%L) TO (%L)',
                v_name, billing_uuid_floor(v_month),
                billing_uuid_floor(v_month + interval '1 month'));
            RETURN NEXT v_name;
        END IF;
    END LOOP;
END $$;

SELECT billing_partitions_ensure(6);
