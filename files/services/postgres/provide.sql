-- The application's account and its database, whatever was there before.
\getenv name DB_NAME
\getenv user DB_USER
-- psql drops the newline at the end, as the application does.
\set password `cat "$DB_PASSWORD_FILE"`

SELECT format('CREATE ROLE %I', :'user')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'user') \gexec

SET password_encryption = 'scram-sha-256';
ALTER ROLE :"user" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'password';

SELECT format('CREATE DATABASE %I OWNER %I', :'name', :'user')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name') \gexec

ALTER DATABASE :"name" OWNER TO :"user";
REVOKE ALL ON DATABASE :"name", postgres, template1 FROM PUBLIC;
