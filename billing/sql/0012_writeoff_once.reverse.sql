DROP TRIGGER writeoff_once ON billing_writeoff;
DROP FUNCTION billing_writeoff_once();
DROP INDEX writeoff_of_request;
