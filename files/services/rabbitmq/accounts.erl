%% What RabbitMQ's file of definitions cannot say: that nobody else has an account. Evaluated once the broker is up.
Named = [list_to_binary(Name) || Name <- string:lexemes(os:getenv("MQ_CLIENTS"), " ")],
Found = [proplists:get_value(user, User) || User <- rabbit_auth_backend_internal:list_users()],
[ok = rabbit_auth_backend_internal:delete_user(Name, <<"tripod">>) || Name <- Found -- Named].
