"""A small folder of the four files, for tests to spoil."""

from pathlib import Path

from app.adapters.csv_files import Dataset, read_folder

COUPONS = """\
coupon_id,coupon_type,department,discount,how_many_products_required,start_date,end_date,product_mean_price,products_available
1,buy_more,Men,14,3,2026-01-01,2026-12-31,7.12,40
2,department,Sport,20,-1,2026-02-01,2026-02-28,9.5,7
3,just_discount,women,5,1,2026-01-01,2026-06-30,19.99,0
"""
PRODUCTS = """\
product_id,name,category,sizes,vendor,description,buy_price,department
11,"Shirt, blue",Men Shirts,S-XL,Northmoor,A blue shirt.,7.12,Men
12,Zażółć,Sports Shoes,38-46,Larkhill,,9.5,Sports
13,Dress,,,,,,Women
"""
LINKS = """\
coupon_id,product_id
1,11
2,12
3,13
3,11
"""
CUSTOMERS = """\
customer_id,gender,age,mean_buy_price,total_coupons_used,mean_discount_received,unique_products_bought,\
unique_products_bought_with_coupons,total_items_bought
7,F,57,34.22,15,22.33,126,23,175
8,,,,,,,,
"""


def write_folder(
    folder: Path,
    *,
    coupons: str = COUPONS,
    products: str = PRODUCTS,
    links: str = LINKS,
    customers: str = CUSTOMERS,
) -> Path:
    """Write the four files, these contents or others."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "coupon_info.csv").write_bytes(coupons.encode())
    (folder / "products.csv").write_bytes(products.encode())
    (folder / "coupon_product.csv").write_bytes(links.encode())
    (folder / "customer_info.csv").write_bytes(customers.encode())
    return folder


def read(folder: Path, **contents: str) -> Dataset:
    """Write the four files, and read them."""
    return read_folder(write_folder(folder, **contents))
