"""The world around the application, played on one machine: the people, the mail server, the SMS gateway, the
auditor."""
