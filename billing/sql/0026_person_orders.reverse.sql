DROP FUNCTION billing_person_reverse(jsonb);
