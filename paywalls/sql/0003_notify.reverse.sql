DROP TRIGGER key_change_notify ON paywalls_apikey;
DROP TRIGGER key_notify ON paywalls_apikey;
DROP TRIGGER alias_notify ON paywalls_modelalias;
DROP TRIGGER message_notify ON paywalls_messagetemplate;
DROP TRIGGER limit_notify ON paywalls_limit;
DROP TRIGGER price_version_notify ON paywalls_priceversion;
DROP TRIGGER paywall_notify ON paywalls_paywall;
DROP FUNCTION paywalls_notify_config();
