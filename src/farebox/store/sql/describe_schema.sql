-- One line of text for everything that makes up the schema of this database, sorted.
-- Read by store/describe.py; the table that remembers migrations is left out.
WITH schemas AS (
    SELECT oid, nspname, nspacl, nspowner
    FROM pg_namespace
    WHERE nspname NOT LIKE 'pg\_%' AND nspname <> 'information_schema'
),
relations AS (
    SELECT class.*, format('%I.%I', schemas.nspname, class.relname) AS path
    FROM pg_class class
    JOIN schemas ON schemas.oid = class.relnamespace
    WHERE class.relname NOT IN ('farebox_migrations', 'farebox_migrations_pkey')
),
tables AS (
    SELECT * FROM relations WHERE relkind IN ('r', 'p', 'v', 'm', 'f')
),
functions AS (
    SELECT procedure.*, format('%I.%I(%s)', schemas.nspname, procedure.proname,
                               pg_get_function_identity_arguments(procedure.oid)) AS path
    FROM pg_proc procedure
    JOIN schemas ON schemas.oid = procedure.pronamespace
    WHERE NOT EXISTS (SELECT FROM pg_depend WHERE objid = procedure.oid AND deptype = 'e')
),
types AS (
    SELECT type.*, format('%I.%I', schemas.nspname, type.typname) AS path
    FROM pg_type type
    JOIN schemas ON schemas.oid = type.typnamespace
    WHERE type.typtype IN ('e', 'd', 'c', 'r')
      AND (type.typrelid = 0 OR EXISTS (SELECT FROM pg_class WHERE oid = type.typrelid AND relkind = 'c'))
),
lines (line) AS (
    SELECT format('schema %I', nspname) FROM schemas
    UNION ALL
    SELECT format('extension %I', extname) FROM pg_extension
    UNION ALL
    SELECT format('table %s kind=%s persistence=%s partition_by=%s partition_of=%s bound=%s options=%s rls=%s/%s',
                  path, relkind, relpersistence, pg_get_partkeydef(oid),
                  (SELECT inhparent::regclass FROM pg_inherits WHERE inhrelid = tables.oid),
                  pg_get_expr(relpartbound, oid), reloptions, relrowsecurity, relforcerowsecurity)
    FROM tables
    UNION ALL
    SELECT format('view %s %s', path, pg_get_viewdef(oid)) FROM tables WHERE relkind IN ('v', 'm')
    UNION ALL
    SELECT format('column %s.%I %s not_null=%s default=%s identity=%s generated=%s collation=%s compression=%s',
                  path, attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid),
                  attidentity, attgenerated, nullif(attcollation, 0)::regcollation, attcompression)
    FROM pg_attribute
    JOIN tables ON tables.oid = attrelid
    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT format('constraint %s %I %s validated=%s', path, conname, pg_get_constraintdef(pg_constraint.oid),
                  convalidated)
    FROM pg_constraint JOIN relations ON relations.oid = conrelid
    UNION ALL
    SELECT format('domain constraint %s %I %s', path, conname, pg_get_constraintdef(pg_constraint.oid))
    FROM pg_constraint JOIN types ON types.oid = contypid
    UNION ALL
    SELECT format('index %s valid=%s clustered=%s', pg_get_indexdef(indexrelid), indisvalid, indisclustered)
    FROM pg_index JOIN relations ON relations.oid = indexrelid
    UNION ALL
    SELECT format('sequence %s type=%s start=%s by=%s min=%s max=%s cache=%s cycle=%s', path, seqtypid::regtype,
                  seqstart, seqincrement, seqmin, seqmax, seqcache, seqcycle)
    FROM pg_sequence JOIN relations ON relations.oid = seqrelid
    UNION ALL
    SELECT format('type %s kind=%s base=%s not_null=%s default=%s labels=%s', path, typtype,
                  nullif(typbasetype, 0)::regtype, typnotnull, typdefault,
                  (SELECT array_agg(enumlabel ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = types.oid))
    FROM types
    UNION ALL
    SELECT format('attribute %s.%I %s', path, attname, format_type(atttypid, atttypmod))
    FROM pg_attribute JOIN types ON types.typrelid = attrelid AND attrelid <> 0
    WHERE attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT format('function %s %s', path, pg_get_functiondef(oid)) FROM functions WHERE prokind IN ('f', 'p')
    UNION ALL
    SELECT format('aggregate %s', path) FROM functions WHERE prokind = 'a'
    UNION ALL
    SELECT format('trigger %s %s enabled=%s', path, pg_get_triggerdef(pg_trigger.oid), tgenabled)
    FROM pg_trigger JOIN tables ON tables.oid = tgrelid
    WHERE NOT tgisinternal
    UNION ALL
    SELECT format('policy %s %I for=%s permissive=%s using=%s check=%s to=%s', path, polname, polcmd, polpermissive,
                  pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid), polroles::regrole[])
    FROM pg_policy JOIN tables ON tables.oid = polrelid
    UNION ALL
    SELECT format('statistics %s', pg_get_statisticsobjdef(pg_statistic_ext.oid))
    FROM pg_statistic_ext JOIN schemas ON schemas.oid = stxnamespace
    UNION ALL
    SELECT format('comment on %s %s: %s', classoid::regclass, pg_describe_object(classoid, objoid, objsubid),
                  description)
    FROM pg_description
    WHERE objoid IN (SELECT oid FROM relations UNION ALL SELECT oid FROM functions UNION ALL SELECT oid FROM types)
    UNION ALL
    SELECT format('may %s %s: %s grantable=%s', privilege_type, path, nullif(grantee, 0)::regrole, is_grantable)
    FROM relations
    CROSS JOIN aclexplode(coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner)))
    WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    UNION ALL
    SELECT format('may %s %s.%I: %s grantable=%s', privilege_type, path, attname, nullif(grantee, 0)::regrole,
                  is_grantable)
    FROM pg_attribute JOIN relations ON relations.oid = attrelid CROSS JOIN aclexplode(attacl)
    UNION ALL
    SELECT format('may %s function %s: %s grantable=%s', privilege_type, path, nullif(grantee, 0)::regrole,
                  is_grantable)
    FROM functions CROSS JOIN aclexplode(coalesce(proacl, acldefault('f', proowner)))
    UNION ALL
    SELECT format('may %s schema %I: %s grantable=%s', privilege_type, nspname, nullif(grantee, 0)::regrole,
                  is_grantable)
    FROM schemas CROSS JOIN aclexplode(coalesce(nspacl, acldefault('n', nspowner)))
    UNION ALL
    SELECT format('may by default %s in=%s kind=%s: %s', privilege_type, nullif(defaclnamespace, 0)::regnamespace,
                  defaclobjtype, nullif(grantee, 0)::regrole)
    FROM pg_default_acl CROSS JOIN aclexplode(defaclacl)
)
SELECT line FROM lines ORDER BY line COLLATE "C";
