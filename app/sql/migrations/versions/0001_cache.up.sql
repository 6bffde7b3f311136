-- The four documented tables. Their columns are fixed: the documented COPY statements name none.
CREATE TABLE coupon_info (
    coupon_id                  INT PRIMARY KEY,
    coupon_type                VARCHAR(16),
    department                 VARCHAR(10),
    discount                   INT,
    how_many_products_required INT,
    start_date                 VARCHAR(10),
    end_date                   VARCHAR(10),
    product_mean_price         REAL,
    products_available         INT
);

CREATE TABLE product_info (
    product_id  INT PRIMARY KEY,
    name        VARCHAR(256),
    category    VARCHAR(50),
    sizes       VARCHAR(50),
    vendor      VARCHAR(50),
    description VARCHAR(256),
    buy_price   REAL,
    department  VARCHAR(10)
);

CREATE TABLE coupon_product (
    coupon_id  INT REFERENCES coupon_info (coupon_id),
    product_id INT REFERENCES product_info (product_id)
);
CREATE INDEX coupon_product_coupon ON coupon_product (coupon_id, product_id);
CREATE INDEX coupon_product_product ON coupon_product (product_id);

CREATE TABLE customer_info (
    customer_id                         INT PRIMARY KEY,
    gender                              VARCHAR(1),
    age                                 INT,
    mean_buy_price                      REAL,
    total_coupons_used                  INT,
    mean_discount_received              REAL,
    unique_products_bought              INT,
    unique_products_bought_with_coupons INT,
    total_items_bought                  INT
);

-- When the central last said what customer_info holds; no row: loaded from a file.
CREATE TABLE customer_fetch (
    customer_id INT PRIMARY KEY,
    fetched_at  TIMESTAMPTZ NOT NULL
);

-- Customers whose ids do not fit customer_info: text, or outside the INT range.
CREATE TABLE customer_info_text (
    customer_id                         VARCHAR(64) PRIMARY KEY,
    gender                              VARCHAR(1),
    age                                 INT,
    mean_buy_price                      REAL,
    total_coupons_used                  INT,
    mean_discount_received              REAL,
    unique_products_bought              INT,
    unique_products_bought_with_coupons INT,
    total_items_bought                  INT,
    fetched_at                          TIMESTAMPTZ NOT NULL
);

-- Every change of the catalogue, by whatever means, is told to the services that hold a snapshot of it.
CREATE FUNCTION notify_catalogue_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('catalogue_changed', '');
    RETURN NULL;
END
$$;

CREATE TRIGGER coupon_info_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON coupon_info
    FOR EACH STATEMENT EXECUTE FUNCTION notify_catalogue_changed();
CREATE TRIGGER product_info_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON product_info
    FOR EACH STATEMENT EXECUTE FUNCTION notify_catalogue_changed();
CREATE TRIGGER coupon_product_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON coupon_product
    FOR EACH STATEMENT EXECUTE FUNCTION notify_catalogue_changed();
