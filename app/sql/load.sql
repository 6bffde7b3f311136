-- Loading the four documented tables from staging tables, and reading them back.
-- A load takes the file's word for the rows it holds, and leaves the rows that it does not hold.

-- name: lock
-- One load at a time, and nobody else writes meanwhile, who might lock the same rows in another order; reading goes on.
LOCK TABLE product_info, coupon_info, coupon_product, customer_info IN SHARE ROW EXCLUSIVE MODE;

-- name: stage
CREATE TEMP TABLE stage_product_info   (LIKE product_info INCLUDING DEFAULTS)   ON COMMIT DROP;
CREATE TEMP TABLE stage_coupon_info    (LIKE coupon_info INCLUDING DEFAULTS)    ON COMMIT DROP;
CREATE TEMP TABLE stage_coupon_product (LIKE coupon_product INCLUDING DEFAULTS) ON COMMIT DROP;
CREATE TEMP TABLE stage_customer_info  (LIKE customer_info INCLUDING DEFAULTS)  ON COMMIT DROP;

-- name: known_coupons
SELECT coupon_id FROM coupon_info WHERE coupon_id = ANY($1::int[]);

-- name: known_products
SELECT product_id FROM product_info WHERE product_id = ANY($1::int[]);

-- name: merge_product_info
WITH changed AS (
    INSERT INTO product_info AS old
    SELECT * FROM stage_product_info ORDER BY product_id
    ON CONFLICT (product_id) DO UPDATE SET
        name = excluded.name, category = excluded.category, sizes = excluded.sizes, vendor = excluded.vendor,
        description = excluded.description, buy_price = excluded.buy_price, department = excluded.department
    WHERE (old.name, old.category, old.sizes, old.vendor, old.description, old.buy_price, old.department)
        IS DISTINCT FROM (excluded.name, excluded.category, excluded.sizes, excluded.vendor, excluded.description,
                          excluded.buy_price, excluded.department)
    RETURNING xmax = 0 AS is_new
)
SELECT count(*) FILTER (WHERE is_new) AS inserted, count(*) FILTER (WHERE NOT is_new) AS updated, 0 AS deleted
FROM changed;

-- name: merge_coupon_info
WITH changed AS (
    INSERT INTO coupon_info AS old
    SELECT * FROM stage_coupon_info ORDER BY coupon_id
    ON CONFLICT (coupon_id) DO UPDATE SET
        coupon_type = excluded.coupon_type, department = excluded.department, discount = excluded.discount,
        how_many_products_required = excluded.how_many_products_required, start_date = excluded.start_date,
        end_date = excluded.end_date, product_mean_price = excluded.product_mean_price,
        products_available = excluded.products_available
    WHERE (old.coupon_type, old.department, old.discount, old.how_many_products_required, old.start_date,
           old.end_date, old.product_mean_price, old.products_available)
        IS DISTINCT FROM (excluded.coupon_type, excluded.department, excluded.discount,
                          excluded.how_many_products_required, excluded.start_date, excluded.end_date,
                          excluded.product_mean_price, excluded.products_available)
    RETURNING xmax = 0 AS is_new
)
SELECT count(*) FILTER (WHERE is_new) AS inserted, count(*) FILTER (WHERE NOT is_new) AS updated, 0 AS deleted
FROM changed;

-- name: merge_customer_info
-- What the central said of a customer is forgotten where the file says otherwise.
WITH changed AS (
    INSERT INTO customer_info AS old
    SELECT * FROM stage_customer_info ORDER BY customer_id
    ON CONFLICT (customer_id) DO UPDATE SET
        gender = excluded.gender, age = excluded.age, mean_buy_price = excluded.mean_buy_price,
        total_coupons_used = excluded.total_coupons_used, mean_discount_received = excluded.mean_discount_received,
        unique_products_bought = excluded.unique_products_bought,
        unique_products_bought_with_coupons = excluded.unique_products_bought_with_coupons,
        total_items_bought = excluded.total_items_bought
    WHERE (old.gender, old.age, old.mean_buy_price, old.total_coupons_used, old.mean_discount_received,
           old.unique_products_bought, old.unique_products_bought_with_coupons, old.total_items_bought)
        IS DISTINCT FROM (excluded.gender, excluded.age, excluded.mean_buy_price, excluded.total_coupons_used,
                          excluded.mean_discount_received, excluded.unique_products_bought,
                          excluded.unique_products_bought_with_coupons, excluded.total_items_bought)
    RETURNING customer_id, xmax = 0 AS is_new
), forgotten AS (
    DELETE FROM customer_fetch USING changed WHERE customer_fetch.customer_id = changed.customer_id
)
SELECT count(*) FILTER (WHERE is_new) AS inserted, count(*) FILTER (WHERE NOT is_new) AS updated, 0 AS deleted
FROM changed;

-- name: merge_coupon_product
-- A coupon of the file keeps the links of the file alone.
WITH deleted AS (
    DELETE FROM coupon_product AS link
    WHERE link.coupon_id IN (SELECT coupon_id FROM stage_coupon_info)
        AND NOT EXISTS (
            SELECT FROM stage_coupon_product AS staged
            WHERE staged.coupon_id = link.coupon_id AND staged.product_id = link.product_id
        )
    RETURNING 1
), inserted AS (
    INSERT INTO coupon_product
    SELECT staged.coupon_id, staged.product_id
    FROM stage_coupon_product AS staged
    WHERE NOT EXISTS (
        SELECT FROM coupon_product AS link
        WHERE link.coupon_id = staged.coupon_id AND link.product_id = staged.product_id
    )
    ORDER BY staged.coupon_id, staged.product_id
    RETURNING 1
)
SELECT (SELECT count(*) FROM inserted) AS inserted, 0 AS updated, (SELECT count(*) FROM deleted) AS deleted;

-- name: coupons_without_products
SELECT count(*)
FROM stage_coupon_info AS coupon
WHERE NOT EXISTS (SELECT FROM coupon_product AS link WHERE link.coupon_id = coupon.coupon_id);

-- name: export_product_info
SELECT product_id, name, category, sizes, vendor, description, buy_price, department
FROM product_info
ORDER BY product_id;

-- name: export_coupon_info
SELECT coupon_id, coupon_type, department, discount, how_many_products_required, start_date, end_date,
       product_mean_price, products_available
FROM coupon_info
ORDER BY coupon_id;

-- name: export_coupon_product
SELECT coupon_id, product_id FROM coupon_product ORDER BY coupon_id, product_id;

-- name: export_customer_info
SELECT customer_id, gender, age, mean_buy_price, total_coupons_used, mean_discount_received, unique_products_bought,
       unique_products_bought_with_coupons, total_items_bought
FROM customer_info
ORDER BY customer_id;
