DROP TRIGGER rate_kept_whole ON paywalls_rate;
DROP TRIGGER rate_kept ON paywalls_rate;
DROP TRIGGER price_version_kept_whole ON paywalls_priceversion;
DROP TRIGGER price_version_kept ON paywalls_priceversion;
DROP TRIGGER change_kept_whole ON paywalls_change;
DROP TRIGGER change_kept ON paywalls_change;
DROP TRIGGER paywall_fixed ON paywalls_paywall;
DROP FUNCTION paywalls_refuse_change();
