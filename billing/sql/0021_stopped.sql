-- Processes drop what they know of a paywall when people can no longer pay, or can again. What is
-- heard from Stripe and how calls are spread is written often and changes nothing.
CREATE TRIGGER stripe_account_notify AFTER INSERT OR DELETE ON billing_stripe_account
    FOR EACH ROW EXECUTE FUNCTION paywalls_notify_config('paywall_id');
CREATE TRIGGER stripe_account_change_notify AFTER UPDATE ON billing_stripe_account
    FOR EACH ROW
    WHEN ((OLD.is_active, OLD.stopped_at IS NULL)
        IS DISTINCT FROM (NEW.is_active, NEW.stopped_at IS NULL))
    EXECUTE FUNCTION paywalls_notify_config('paywall_id');
