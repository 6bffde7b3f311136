-- What a model was asked about on a day: how its score and features were spread in the bins of its card. No customer can
-- be told from it. The first day of a model is what later ones are compared with.
CREATE TABLE drift_report (
    model_version TEXT NOT NULL,
    day           DATE NOT NULL,
    measured_at   TIMESTAMPTZ NOT NULL DEFAULT now(),
    decisions     INT NOT NULL,
    customers     INT NOT NULL,
    coupons       INT NOT NULL,
    shares        JSONB NOT NULL,
    PRIMARY KEY (model_version, day)
);
