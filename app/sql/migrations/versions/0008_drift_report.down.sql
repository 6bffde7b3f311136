DROP TABLE drift_report;
