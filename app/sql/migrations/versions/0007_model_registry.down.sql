DROP TABLE model_alias;
DROP TABLE model;
