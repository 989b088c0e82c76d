DROP TRIGGER model_change_notify ON providers_model;
DROP TRIGGER model_notify ON providers_model;
DROP FUNCTION providers_notify_model();
DROP TRIGGER connection_change_notify ON providers_connection;
DROP TRIGGER connection_notify ON providers_connection;
