DROP TRIGGER grant_kept_whole ON paywalls_grant;
DROP TRIGGER grant_kept ON paywalls_grant;
DROP TRIGGER grant_fixed ON paywalls_grant;
